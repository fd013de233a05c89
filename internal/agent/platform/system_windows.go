package platform

import (
	"fmt"
	"io/fs"
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

// Access lists of folders: SYSTEM and Administrators do everything, and nothing
// is inherited from above; what lies below inherits this.
const (
	privateList  = "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
	readableList = privateList + "(A;OICI;0x1200a9;;;BU)" // users read and run
)

// Protect gives a folder an access list that says what its mode says elsewhere:
// nobody but SYSTEM and Administrators changes anything, and users read it if the
// mode lets others. One that has a list of its own and such an owner keeps it. Who
// is no administrator has a root of his own, and would lock himself out.
func Protect(path string, mode fs.FileMode) error {
	if !administrator() {
		return nil
	}
	now, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	control, _, err := now.Control()
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	has, _, err := now.Owner()
	if err == nil && control&windows.SE_DACL_PROTECTED != 0 &&
		(has.IsWellKnown(windows.WinLocalSystemSid) || has.IsWellKnown(windows.WinBuiltinAdministratorsSid)) {
		return nil
	}
	list := privateList
	if mode.Perm()&0o005 != 0 {
		list = readableList
	}
	wanted, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	administrators, _, err := wanted.Owner()
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	access, _, err := wanted.DACL()
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION,
		administrators, nil, access, nil)
	if err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	return nil
}

// Exposed is never so: Protect takes the folder over.
func Exposed(string) (bool, error) { return false, nil }

// owner leaves it to the folder's access list.
func owner(string) bool { return true }
