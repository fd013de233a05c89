//go:build !unix

package dbtest

import "errors"

// server is not run on this system: its tests of PostgreSQL are those of the others.
type server struct{}

var errNoServer = errors.New("PostgreSQL is not tested on this system")

func findPostgres() (bin, where string) { return "", errNoServer.Error() }
func startServer() (*server, error)     { return nil, errNoServer }
func (*server) url(string) string       { return "" }
func (*server) socket() string          { return "" }
func (*server) stop()                   {}
func (*server) crash() error            { return errNoServer }
