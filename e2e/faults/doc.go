// Package faults kills the real binary, spoils what it keeps on disk, and takes the disk away from it.
//
// It needs nothing but Go. The binary is built once; each test runs it on free ports of 127.0.0.1, in front of a registry
// and of a source whose every version was signed, and holds it to what must be true after any fault: what is served was
// signed, is whole, and is never older than what was served before.
//
// Points in time are random, and a failure names the seed that they came from; TAGWARDEN_SEED in the environment repeats
// it. A full disk is a small one that is mounted, which takes root: without it that test is skipped, but never where CI is
// "true". With TAGWARDEN_BINARY in the environment, that binary is tested and none is built.
package faults
