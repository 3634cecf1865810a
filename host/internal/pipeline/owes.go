package pipeline

// Owes reports whether the plugin was sent something that it has not called
// durable, while the host is not busy with what it answered: then it is the
// plugin that something waits for.
func (m *Member) Owes() bool {
	if m.handling.Load() > 0 {
		return false
	}
	for _, q := range m.queues {
		if q.Owed() {
			return true
		}
	}
	return false
}
