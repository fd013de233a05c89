package platform

import (
	"strconv"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"github.com/openesu/openesu/problem"
)

const (
	cryptography = `SOFTWARE\Microsoft\Cryptography`
	version      = `SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	prefetch     = `SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters`
)

// ownIdentity is the machine's GUID and the day on which the system was
// installed: an image that keeps the first still changes the second.
func ownIdentity() (string, error) {
	missing := func(err error) (string, error) {
		return "", problem.New(problem.Refused, IdentityMissing, "file", `HKLM\`+cryptography).Because(err)
	}
	// A 32-bit program would else be shown another part of the registry.
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, cryptography, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return missing(err)
	}
	defer key.Close()
	guid, _, err := key.GetStringValue("MachineGuid")
	if err != nil {
		return missing(err)
	}
	installed, err := number(version, "InstallDate")
	if err != nil {
		return missing(err)
	}
	return "machine-guid " + guid + " " + strconv.FormatUint(installed, 10), nil
}

func number(path, name string) (uint64, error) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return 0, err
	}
	defer key.Close()
	n, _, err := key.GetIntegerValue(name)
	return n, err
}

func ownBoot() string {
	n, err := number(prefetch, "BootId")
	if err != nil {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func administrator() bool { return windows.GetCurrentProcessToken().IsElevated() }

// owner leaves it to the folder's access list.
func owner(string) bool { return true }
