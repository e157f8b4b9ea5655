package watchtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubectl runs the stock client in the bench's namespace. When the arguments end with "-f", "-" and a text, the text is
// its input. The test is skipped where there is no kubectl.
func (b *bench) kubectl(args ...string) string {
	b.t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		b.t.Skip("no kubectl to act beside the set")
	}
	input := ""
	if n := len(args); n > 2 && args[n-2] == "-" {
		args, input = args[:n-1], args[n-1]
	}
	kubeconfig := filepath.Join(b.t.TempDir(), "config")
	check(b.t, clientcmd.WriteToFile(clientcmdapi.Config{
		CurrentContext: "t", Contexts: map[string]*clientcmdapi.Context{"t": {Cluster: "t", AuthInfo: "t", Namespace: b.namespace}},
		Clusters:  map[string]*clientcmdapi.Cluster{"t": {Server: shared.rest.Host, CertificateAuthorityData: shared.rest.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"t": {ClientCertificateData: shared.rest.CertData, ClientKeyData: shared.rest.KeyData}},
	}, kubeconfig))
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+b.t.TempDir())
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
