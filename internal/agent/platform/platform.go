// Package platform is what an agent asks of the operating system under it: who
// this installation is, whether it has restarted, whether the person may change
// it, what its processor is called, and who may write to a folder.
//
// It speaks of the running system when the root is the running system's own, and
// of files below the root otherwise (a chroot, a container, a test). It decides
// nothing, and changes nothing but the rights of a folder (Protect).
package platform

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openesu/openesu/problem"
)

const (
	// IdentityMissing is an installation without an identity to be told apart by.
	IdentityMissing problem.Code = "agent.identity-missing"
	// SystemUnsupported is an operating system that devices are not supported on.
	SystemUnsupported problem.Code = "agent.system-unsupported"
)

// maxID bounds the small files that are read here, in bytes.
const maxID = 4096

// System is the operating system whose files begin at Root.
type System struct{ Root string }

// Own reports whether the root is the running system's own.
func (s System) Own() bool {
	root := filepath.Clean(s.Root)
	return filepath.Dir(root) == root
}

// Identity names the installed operating system (rule K7): it stays the same
// until the system is installed anew or generalized, whatever disks and cards
// are changed.
func (s System) Identity() (string, error) {
	if s.Own() {
		return ownIdentity()
	}
	return machineID(s.Root)
}

// Boot changes with every start of the system; it is "" where that is not known.
func (s System) Boot() string {
	if s.Own() {
		return ownBoot()
	}
	return fileBoot(s.Root)
}

// Elevated reports whether the person may change the device (rule K15): an
// administrator on the running system, the owner of any other root.
func (s System) Elevated() bool {
	if s.Own() {
		return administrator()
	}
	return owner(s.Root)
}

// Architectures are the names by which programs know this processor.
func Architectures() []string {
	switch runtime.GOARCH {
	case "amd64":
		return []string{"amd64", "x64", "x86_64"}
	case "386":
		return []string{"386", "x86", "i386", "i686"}
	case "arm64":
		return []string{"arm64", "aarch64"}
	default:
		return []string{runtime.GOARCH}
	}
}

// machineID is the machine-id of machine-id(5).
func machineID(root string) (string, error) {
	path := filepath.Join(root, "etc", "machine-id")
	text, err := readShort(path)
	if text == "uninitialized" { // as images are shipped, before their first start
		text = ""
	}
	if text == "" {
		return "", problem.New(problem.Refused, IdentityMissing, "file", path).Because(err)
	}
	return "machine-id " + text, nil
}

func fileBoot(root string) string {
	text, err := readShort(filepath.Join(root, "proc", "sys", "kernel", "random", "boot_id"))
	if err != nil {
		return ""
	}
	return text
}

func readShort(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil && len(text) > maxID {
		err = errors.New("too long")
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}
