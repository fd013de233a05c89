//go:build unix

package depot

import (
	"errors"
	"fmt"
)

// sync makes what was renamed into a folder survive a power cut.
func (f *Folder) sync(name string) error {
	folder, err := f.root.Open(name)
	if err != nil {
		return fmt.Errorf("depot: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
