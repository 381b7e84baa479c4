// Package attack attacks the real binary, through its door and through its sources.
//
// It needs nothing but Go. The binary is built once; each test runs "tagwarden serve" on free ports of 127.0.0.1, in front
// of registries that remember what they were asked and of a source of signed, attacked trust data. TestDoor is the table
// of attacks by clients and registries, TestNotary and TestTUF are those of attacks by a source or with stolen keys: a siege
// tries each on who has seen nothing, on who has seen two versions, and on the latter after a power cut. A trap is a listener
// that must never be dialled. SECURITY.md says which test shows what, and TestSecurity that this is so.
//
// Whatever a test does, at its end the gateway must have ended in good order, every line that it wrote must be one JSON
// object, and every decision that a client saw must be in the audit log exactly once.
//
// With TAGWARDEN_BINARY in the environment, that binary is attacked and none is built.
package attack
