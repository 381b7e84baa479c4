package main

import (
	"errors"
	"net"
	"os/exec"
	"time"
)

// stopLimit is how long a program may take to end when it is told to.
const stopLimit = 10 * time.Second

// freePort returns an address of 127.0.0.1 that nobody listened on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find returns where a program is. Servers are where only root's path leads. The error is exec.ErrNotFound when there is none.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if errors.Is(err, exec.ErrNotFound) {
		if path, err := exec.LookPath("/usr/sbin/" + program); err == nil {
			return path, nil
		}
	}
	return path, err
}
