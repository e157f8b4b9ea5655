package nearest

import "testing"

func TestOf(t *testing.T) {
	words := []string{"replicas", "selector", "template", "image", "imagePullPolicy", "name", "env", "Deployment"}
	for _, tc := range []struct{ word, want string }{
		{"replcias", "replicas"},
		{"Replicas", "replicas"},
		{"imagepullpolicy", "imagePullPolicy"},
		{"Deploymnet", "Deployment"},
		{"nmae", "name"},
		{"xyz", ""},
		{"en", ""},
		{"", ""},
		{"volumes", ""},
	} {
		if got := Of(tc.word, words); got != tc.want {
			t.Errorf("Of(%q) = %q, want %q", tc.word, got, tc.want)
		}
	}
}
