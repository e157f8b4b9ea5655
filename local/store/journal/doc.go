// Package journal keeps a sequence of payloads in one file, such that a payload that was acknowledged is there after any
// crash, one that was not is there whole or not at all, and a file that was damaged since is recognised as such.
//
// The file is
//
//	header | base frames … | base end | batch frame | batch frame | …
//
// The base is the state from which the batches go on. It is written in one go to a temporary file that takes the
// journal's name when it is complete and synced, so an incomplete base is always damage, never an interrupted write.
// Batches are appended, one frame and one sync each.
//
// A crash can leave the last frame incomplete ("torn"): nobody was told that it was stored, so it is cut off at the next
// Open. Damage looks alike at first sight, and three things tell them apart. A frame is only written after the one
// before it is durable, so an unreadable frame with a readable one behind it is damage. Frames are numbered, so none can
// be missing in between. And after each sync the journal notes the length that it has acknowledged in a second file (the
// mark, beside the lock): an unreadable or missing byte below that length is damage, be it the very last one.
//
// The mark is written without a sync of its own. It survives the death of the process; after a power failure it may be
// older than the journal, never newer, because it is written after the sync.
package journal
