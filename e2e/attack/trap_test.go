package attack

import (
	"net"
	"testing"
)

// A trap is an address that must never be dialled.
type trap struct {
	addr, port string
	caught     chan string // who dialled it
}

// newTrap starts a trap. What came is judged when everything that was started after it has ended.
func newTrap(t *testing.T) trap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) // it is one
	p := trap{l.Addr().String(), port, make(chan string, 1000)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
			p.caught <- conn.RemoteAddr().String()
		}
	}()
	t.Cleanup(func() {
		defer l.Close()
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		// Connections are accepted in turn: when this one was, all before it were.
		for from := range p.caught {
			if from == conn.LocalAddr().String() {
				return
			}
			t.Errorf("%s dialled what must not be dialled", from)
		}
	})
	return p
}
