package engine

// ChecksumForTest is the checksum of a manifest in the format that it has.
func ChecksumForTest(m *Manifest) (string, error) { return m.checksum() }
