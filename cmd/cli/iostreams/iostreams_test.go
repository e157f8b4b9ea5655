package iostreams

import (
	"slices"
	"testing"
)

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

func TestAQuestionIsAnsweredByWhatIsTyped(t *testing.T) {
	s, in, _, said := Test()
	in.WriteString(" Yes \nno\n\n7\ny")
	got := []bool{s.Confirm("One?"), s.Confirm("Two?"), s.Confirm("Three?")}
	if want := []bool{true, false, false}; !slices.Equal(got, want) {
		t.Errorf("confirmed %v, want %v", got, want)
	}
	if answer, ok := s.Ask("How many? "); answer != "7" || !ok {
		t.Errorf("answer %q, %v", answer, ok)
	}
	if !s.Confirm("Without a line's end?") || s.Confirm("After the end?") {
		t.Error("the end of the input confirms, or ends what was typed before it")
	}
	if want := "One? [y/N] Two? [y/N] Three? [y/N] How many? Without a line's end? [y/N] After the end? [y/N] \n"; said.String() != want {
		t.Errorf("said %q, want %q", said, want)
	}
}
