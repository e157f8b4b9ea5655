package iostreams

import "testing"

func TestColourGoesToTerminalsOnly(t *testing.T) {
	s, _, _, _ := Test()
	if got := s.Colours().Green("ok"); got != "ok" {
		t.Errorf("colour on a pipe: %q", got)
	}
	s.SetTTY(false, false, true)
	if got := s.Colours().Green("ok"); got != "ok" {
		t.Errorf("standard output is a pipe, yet coloured: %q", got)
	}
	if got := s.ErrColours().Green("ok"); got == "ok" {
		t.Error("no colour on a terminal")
	}
	s.SetColour(false)
	if got := s.ErrColours().Green("ok"); got != "ok" {
		t.Errorf("colour although it is forbidden: %q", got)
	}
}

func TestEnvironmentForbidsColourAndMotion(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	s := System()
	s.outTTY, s.errTTY = true, true
	if s.Colours().On() || !s.CanRedraw() {
		t.Errorf("NO_COLOR: colour %v, motion %v", s.Colours().On(), s.CanRedraw())
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	s = System()
	s.outTTY, s.errTTY = true, true
	if s.Colours().On() || s.CanRedraw() {
		t.Errorf("TERM=dumb: colour %v, motion %v", s.Colours().On(), s.CanRedraw())
	}
}
