package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
)

// The fields of a line of the access log that are looked at. local/network/httpproxy writes them.
const (
	fieldHost   = 3
	fieldStatus = 6
)

// requests shows the access log of Ingresses and Gateways, which is a file and needs no cluster that runs.
type requests struct {
	options *options
	path    string
	colours iostreams.Colours
	after   time.Time
}

func (o *options) showRequests(ctx context.Context, path string, args []string) error {
	if len(args) > 0 || o.container != "" || o.selector != "" || o.previous || o.allNamespaces {
		return exit.With(exit.Usage, errors.New("--ingress shows requests, which belong to no container"), "choose some with --host, --grep, --since or --tail")
	}
	after, err := o.sinceWhen(time.Now())
	if err != nil {
		return err
	}
	r := &requests{options: o, path: path, colours: o.io.Colours(), after: after}
	file, err := r.past()
	if file != nil {
		defer func() { file.Close() }()
	}
	if err != nil || !o.follow {
		return err
	}
	var part strings.Builder // of a line that is still being written
	for {
		if file != nil {
			if err := r.read(file, &part, r.show); err != nil {
				return err
			}
		}
		if now, err := os.Stat(path); err == nil && !same(file, now) {
			if file != nil {
				_ = r.read(file, &part, r.show) // what came before the new part began
				file.Close()
			}
			if file, err = os.Open(path); err != nil {
				return fmt.Errorf("follow the access log: %w", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookAgain):
		}
	}
}

// lookAgain is how often a log that is followed is looked at. Chosen: soon for a person, and cheap.
const lookAgain = 100 * time.Millisecond

func same(file *os.File, now os.FileInfo) bool {
	if file == nil {
		return false
	}
	have, err := file.Stat()
	return err == nil && os.SameFile(have, now)
}

// past shows what there is, and returns the log's last part, read to its end; nil when there is none yet.
func (r *requests) past() (*os.File, error) {
	tail := r.options.tail
	if tail < 0 && r.options.follow {
		tail = followTail
	}
	var kept []string
	keep := func(line string) {
		if !r.wanted(line) {
			return
		}
		if kept = append(kept, line); tail >= 0 && int64(len(kept)) > 2*tail+100 {
			kept = append(kept[:0], kept[int64(len(kept))-tail:]...)
		}
	}
	var last *os.File
	for _, path := range []string{r.path + ".1", r.path} {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the access log: %w", err)
		}
		var part strings.Builder
		if err := r.read(file, &part, keep); err != nil {
			file.Close()
			return nil, err
		}
		if path != r.path {
			file.Close()
			continue
		}
		last = file
		if _, err := file.Seek(-int64(part.Len()), io.SeekCurrent); err != nil {
			return last, fmt.Errorf("read the access log: %w", err)
		}
	}
	if tail >= 0 && int64(len(kept)) > tail {
		kept = kept[int64(len(kept))-tail:]
	}
	for _, line := range kept {
		r.print(line)
	}
	if len(kept) == 0 && !r.options.follow {
		fmt.Fprintln(r.options.io.ErrOut, "no request has come to an Ingress or a Gateway")
	}
	return last, nil
}

// read hands on the whole lines from where a file stands to its end.
func (r *requests) read(file *os.File, part *strings.Builder, line func(string)) error {
	lines := bufio.NewReader(file)
	for {
		text, err := lines.ReadString('\n')
		part.WriteString(text)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the access log: %w", err)
		}
		line(strings.TrimSuffix(part.String(), "\n"))
		part.Reset()
	}
}

func (r *requests) show(line string) {
	if r.wanted(line) {
		r.print(line)
	}
}

func (r *requests) wanted(line string) bool {
	o := r.options
	if o.show != nil && !o.show.MatchString(line) || o.hide != nil && o.hide.MatchString(line) {
		return false
	}
	fields := strings.Fields(line)
	if len(fields) <= fieldStatus {
		return o.host == "" && r.after.IsZero()
	}
	if !r.after.IsZero() {
		if at, err := time.Parse(time.RFC3339, fields[0]); err != nil || at.Before(r.after) {
			return false
		}
	}
	host, _, _ := strings.Cut(fields[fieldHost], ":")
	return o.host == "" || strings.EqualFold(host, o.host) || strings.EqualFold(fields[fieldHost], o.host)
}

func (r *requests) print(line string) {
	if fields := strings.SplitN(line, " ", fieldStatus+2); r.colours.On() && len(fields) == fieldStatus+2 {
		paint := r.colours.Green
		switch status := fields[fieldStatus]; {
		case status >= "500":
			paint = r.colours.Red
		case status >= "400":
			paint = r.colours.Yellow
		case status >= "300":
			paint = r.colours.Cyan
		}
		fields[fieldStatus] = paint(fields[fieldStatus])
		line = r.colours.Faint(fields[0]) + " " + strings.Join(fields[1:], " ")
	}
	fmt.Fprintln(r.options.io.Out, line)
}

// sinceWhen is the time that --since or --since-time names; zero for neither.
func (o *options) sinceWhen(now time.Time) (time.Time, error) {
	switch {
	case o.since > 0:
		return now.Add(-o.since), nil
	case o.sinceTime != "":
		return o.parseSinceTime()
	}
	return time.Time{}, nil
}
