package iostreams

import (
	"bufio"
	"fmt"
	"strings"
)

// Ask asks a person and returns what was typed, without the spaces around it; ok is false when the input ended instead. Ask
// only where IsInTTY says that there is somebody.
func (s *IOStreams) Ask(question string) (answer string, ok bool) {
	if s.answers == nil {
		s.answers = bufio.NewReader(s.In) // one for all questions: it may read ahead
	}
	fmt.Fprint(s.ErrOut, question)
	line, err := s.answers.ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(s.ErrOut)
		return "", false
	}
	return strings.TrimSpace(line), true
}

// Confirm asks a question that anything but "y" and "yes" declines.
func (s *IOStreams) Confirm(question string) bool {
	answer, _ := s.Ask(question + " [y/N] ")
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
