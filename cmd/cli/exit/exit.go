// Package exit turns an error into what a person and a script are told: one message, the next step, and an exit code
// from a small table. It exists so that no verb decides on exit codes by itself; the table is documented in
// docs/exit-codes.md, and a test holds the two together.
package exit

import (
	"context"
	"errors"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// Code is a process exit code.
type Code int

// The codes. They are part of skiff's interface: one that was published keeps its meaning.
const (
	OK               Code = 0
	General          Code = 1   // anything without a code of its own; the kubectl verbs use it as kubectl does
	Usage            Code = 2   // a flag, an argument or a verb that doesn't exist
	NoEngine         Code = 3   // no Docker Engine answers
	EnginePermission Code = 4   // the engine answers, but not to this user
	EngineTooOld     Code = 5   // the engine's API is older than skiff needs
	Home             Code = 6   // SKIFF_HOME can't be written, or what it holds is damaged
	PortInUse        Code = 7   // a port that skiff was told to use is taken
	NotRunning       Code = 8   // the profile's cluster doesn't run
	Timeout          Code = 9   // something didn't become ready in time
	Manifest         Code = 10  // a manifest can't be read or was refused
	Unwell           Code = 11  // it runs, but something is not well (status, doctor)
	AlreadyRunning   Code = 12  // another daemon of the profile holds the lock
	Program          Code = 13  // skiffd is missing, or of another release than skiff
	Interrupted      Code = 130 // Ctrl-C, as shells report it
)

// Error is an error with the code to exit with and, where there is one, the next thing to try.
type Error struct {
	Code Code
	Err  error  // nil: there is nothing to say, only a code to exit with
	Hint string // a sentence or a command, without "hint:"
}

func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// With gives err a code and a hint, which may be empty. A nil err stays nil.
func With(code Code, err error, hint string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err, Hint: hint}
}

// Silent exits with the code and says nothing: the verb has said everything.
func Silent(code Code) error { return &Error{Code: code} }

// hinter is what errors of the packages below implement to carry their next step.
type hinter interface{ Hint() string }

// Of finds the code, the message and the hint of err.
func Of(err error) (code Code, message, hint string) {
	if err == nil {
		return OK, "", ""
	}
	code, message = General, err.Error()
	var own *Error
	var failure *client.Failure
	switch {
	case errors.As(err, &own):
		code, hint = own.Code, own.Hint
	case errors.As(err, &failure):
		code, hint = OfReason(failure.Reason), failure.Hint
	case errors.Is(err, context.Canceled):
		code, message = Interrupted, "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		code = Timeout
	case errors.Is(err, docker.ErrNoEngine):
		code = NoEngine
	case errors.Is(err, docker.ErrPermission):
		code = EnginePermission
	case errors.Is(err, docker.ErrTooOld):
		code = EngineTooOld
	case errors.Is(err, profile.ErrRunning):
		code = AlreadyRunning
	}
	var h hinter
	if hint == "" && errors.As(err, &h) {
		hint = h.Hint()
	}
	return code, message, hint
}

// OfReason is the code of a failure that the daemon reports.
func OfReason(r client.Reason) Code {
	switch r {
	case client.ReasonNoEngine:
		return NoEngine
	case client.ReasonEnginePermission:
		return EnginePermission
	case client.ReasonEngineTooOld:
		return EngineTooOld
	case client.ReasonPortInUse:
		return PortInUse
	case client.ReasonHome, client.ReasonStoreDamaged:
		return Home
	case client.ReasonAlreadyRunning:
		return AlreadyRunning
	case client.ReasonNotRunning:
		return NotRunning
	case client.ReasonInvalid:
		return Usage
	case client.ReasonProgram:
		return Program
	case client.ReasonTimeout:
		return Timeout
	}
	return General
}
