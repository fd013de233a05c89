package depot

// sync does nothing: Windows has no way to flush a folder, and NTFS journals
// the rename.
func (f *Folder) sync(string) error { return nil }
