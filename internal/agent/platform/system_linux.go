package platform

func ownIdentity() (string, error) { return machineID("/") }

func ownBoot() string { return fileBoot("/") }
