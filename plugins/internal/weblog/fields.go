package weblog

// Fields returns the names of the fields that Read can set.
func Fields() []string {
	return []string{
		"ambiguous", "apache.module", "error.code", "event_action", "http.request.forwarded_for", "http.request.method", "http.request.referrer",
		"http.response.body.bytes", "http.response.status_code", "http.version", "log.level", "src_host", "src_ip", "src_port", "tid",
		"upstream", "url.decoded", "url.decoded_cut", "url.domain", "url.original", "url.path", "url.port", "url.query", "url.scheme", "user", "user_agent.original",
	}
}
