package listen

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holderOf names the program that listens on a port of this machine, or returns "" where that can't be seen.
func holderOf(p Port) string {
	inode := socketInode(p)
	if inode == "" {
		return ""
	}
	want := "socket:[" + inode + "]"
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || link != want {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "pid " + pid
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// socketInode finds the socket that listens on the port on any address.
func socketInode(p Port) string {
	suffix := fmt.Sprintf(":%04X", p.Addr.Port())
	for _, file := range []string{"/proc/net/" + p.Protocol.String(), "/proc/net/" + p.Protocol.String() + "6"} {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local rem state queues timer retransmits uid timeout inode
			fields := strings.Fields(lines.Text())
			listening := len(fields) > 9 && (fields[3] == "0A" || p.Protocol.String() == "udp" && fields[3] == "07")
			if listening && strings.HasSuffix(fields[1], suffix) && fields[9] != "0" {
				return fields[9]
			}
		}
	}
	return ""
}
