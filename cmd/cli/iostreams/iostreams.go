// Package iostreams is the terminal as the verbs see it: three streams, whether each is a terminal, and colours that
// are empty where they don't belong. It exists so that a test gives a verb buffers and says what they pretend to be.
package iostreams

import (
	"bufio"
	"bytes"
	"io"
	"os"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// IOStreams are a command's streams. Out is data, ErrOut is progress and trouble.
type IOStreams struct {
	In     io.Reader
	Out    io.Writer
	ErrOut io.Writer

	inTTY, outTTY, errTTY bool
	colour                bool // unless NO_COLOR or a dumb terminal forbids
	motion                bool // the terminal understands cursor movement
	width                 func() int
	answers               *bufio.Reader // of In; nil until something is asked
}

// System returns the process's own streams. Colour follows https://no-color.org; TERM=dumb has neither colour nor
// cursor movement.
func System() *IOStreams {
	dumb := os.Getenv("TERM") == "dumb"
	return &IOStreams{
		In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr,
		inTTY: isTerminal(os.Stdin), outTTY: isTerminal(os.Stdout), errTTY: isTerminal(os.Stderr),
		colour: os.Getenv("NO_COLOR") == "" && !dumb,
		motion: !dumb,
		width:  systemWidth,
	}
}

// Test returns streams on buffers that are no terminals and have no colour.
func Test() (s *IOStreams, in, out, errOut *bytes.Buffer) {
	in, out, errOut = &bytes.Buffer{}, &bytes.Buffer{}, &bytes.Buffer{}
	return &IOStreams{In: in, Out: out, ErrOut: errOut, motion: true, width: func() int { return 80 }}, in, out, errOut
}

// SetTTY makes the streams pretend to be terminals, or not; colour comes with it.
func (s *IOStreams) SetTTY(in, out, errOut bool) {
	s.inTTY, s.outTTY, s.errTTY = in, out, errOut
	s.colour = out || errOut
}

// SetColour allows or forbids colour on terminals.
func (s *IOStreams) SetColour(on bool) { s.colour = on }

// IsInTTY tells whether a person may be asked something.
func (s *IOStreams) IsInTTY() bool { return s.inTTY }

// IsOutTTY tells whether standard output is a terminal.
func (s *IOStreams) IsOutTTY() bool { return s.outTTY }

// IsErrTTY tells whether standard error is a terminal.
func (s *IOStreams) IsErrTTY() bool { return s.errTTY }

// CanRedraw tells whether lines on standard error may be overwritten.
func (s *IOStreams) CanRedraw() bool { return s.errTTY && s.motion }

// CanRedrawOut tells whether lines on standard output may be overwritten.
func (s *IOStreams) CanRedrawOut() bool { return s.outTTY && s.motion }

// Width is the terminal's width in columns; 80 where there is no terminal to ask.
func (s *IOStreams) Width() int { return s.width() }

// Colours returns what may be written to Out.
func (s *IOStreams) Colours() Colours { return newColours(s.outTTY && s.colour) }

// ErrColours returns what may be written to ErrOut.
func (s *IOStreams) ErrColours() Colours { return newColours(s.errTTY && s.colour) }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func systemWidth() int {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// Colours wraps text in a colour, or leaves it as it is.
type Colours struct {
	on bool
}

func newColours(on bool) Colours { return Colours{on: on} }

// On tells whether there is any colour.
func (c Colours) On() bool { return c.on }

func (c Colours) paint(text string, attributes ...color.Attribute) string {
	if !c.on {
		return text
	}
	p := color.New(attributes...)
	p.EnableColor()
	return p.Sprint(text)
}

// Bold is for names and headings.
func (c Colours) Bold(text string) string { return c.paint(text, color.Bold) }

// Faint is for what a reader may skip.
func (c Colours) Faint(text string) string { return c.paint(text, color.Faint) }

// Green says that something is well.
func (c Colours) Green(text string) string { return c.paint(text, color.FgGreen) }

// Yellow says that something needs attention.
func (c Colours) Yellow(text string) string { return c.paint(text, color.FgYellow) }

// Red says that something failed.
func (c Colours) Red(text string) string { return c.paint(text, color.FgRed) }

// Cyan is for things to type or to click.
func (c Colours) Cyan(text string) string { return c.paint(text, color.FgCyan) }

// ByIndex returns one of a few colours that are easy to tell apart, for sources that alternate on the screen.
func (c Colours) ByIndex(i int, text string) string {
	wheel := []color.Attribute{color.FgCyan, color.FgGreen, color.FgMagenta, color.FgYellow, color.FgBlue, color.FgHiRed, color.FgHiCyan, color.FgHiGreen}
	return c.paint(text, wheel[i%len(wheel)])
}
