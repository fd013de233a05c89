//go:build unix && !linux

package platform

import (
	"runtime"

	"github.com/openesu/openesu/problem"
)

func ownIdentity() (string, error) {
	return "", problem.New(problem.Refused, SystemUnsupported, "system", runtime.GOOS)
}

func ownBoot() string { return "" }
