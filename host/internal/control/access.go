package control

import (
	"context"
	"fmt"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/view"
)

// Change is one attempt to change something, for the audit log.
type Change struct {
	Time   time.Time
	Caller Caller
	// User is the name of the caller's user.
	User string
	// Action is what was asked for, as the command line names it: "block add".
	Action string
	// Request is the request as a JSON object, cut at 4 KiB; of an import, the
	// counts of its answer.
	Request string
	// Err is nil when it was done, and wraps ErrDenied when it was not allowed.
	Err error
}

// maxAudited bounds what an audit entry keeps of a request, in bytes.
const maxAudited = 4 << 10

// actions names the calls that change something; readers lists those that do
// not. A call in neither is refused.
func actions() map[string]string {
	return map[string]string{
		"EnablePlugin":  "plugin enable",
		"DisablePlugin": "plugin disable",
		"ReloadPlugin":  "plugin reload",
		"RemovePlugin":  "plugin remove",
		"UpdateAlert":   "alert update",
		"AddSilence":    "alerts silence add",
		"RemoveSilence": "alerts silence remove",
		"AddBlock":      "block add",
		"RemoveBlock":   "block remove",
		"ImportBlocks":  "block import",
		"AddAllow":      "allow add",
		"RemoveAllow":   "allow remove",

		"RemoveBlockList": "block remove list",
		"AddBlockRule":    "block rule add",
		"RemoveBlockRule": "block rule remove",

		"Isolate":        "guard isolate",
		"ReleaseIntents": "guard release",
		"ApproveIntent":  "guard approve",
		"DisableGuard":   "guard disable",
		"EnableGuard":    "guard enable",

		"SetMode":      "mode set",
		"ReloadConfig": "config reload",

		"AttachFilters": "ebpf attach",
		"DetachFilters": "ebpf detach",
		// What strangers sent is for those who may change things.
		"CaptureDropped": "ebpf capture",

		"ReplayQuarantine": "quarantine replay",
		"DropQuarantine":   "quarantine drop",
	}
}

func readers() map[string]bool {
	return map[string]bool{
		"Status": true, "ListPlugins": true, "PluginInfo": true, "ListRules": true, "TailEvents": true, "PluginLogs": true,
		"Query": true, "ListBlocks": true, "ListBlockLists": true, "ListBlockRules": true, "ListAllows": true, "CheckAddress": true, "GetMode": true,
		"ShowConfig": true, "PluginTrust": true, "ListQuarantine": true, "ShowQuarantine": true,
		"ListSilences": true,
		"Filters":      true, "DumpFilter": true, "ListIntents": true, "PlanAnswer": true, "ListEvidence": true,
	}
}

// permit returns the action that a call is, "" for one that only reads, and an
// error that wraps ErrDenied when the caller may not make it.
func (s *Server) permit(ctx context.Context, fullMethod string) (action string, c Caller, err error) {
	method := path.Base(fullMethod)
	c, known := CallerFrom(ctx)
	if !known {
		return "", c, fmt.Errorf("%w: the caller is unknown", ErrDenied)
	}
	if s.readers[method] {
		return "", c, nil
	}
	action, ok := s.actions[method]
	if !ok {
		return "", c, fmt.Errorf("%w: no call %s", ErrNotSupported, method)
	}
	if c.UID == 0 || c.UID == s.uid || s.hasGroup && c.In(s.gid) {
		return action, c, nil
	}
	group := ""
	if s.config.Group != "" {
		group = ", or membership in the group " + s.config.Group
	}
	return action, c, fmt.Errorf("%w: %s needs root or the host's own user%s; the caller is %s", ErrDenied, action, group, c.Name())
}

func (s *Server) audit(c Caller, action, request string, err error) {
	if action == "" || s.config.Audit == nil {
		return
	}
	if len(request) > maxAudited {
		request = request[:maxAudited]
	}
	s.config.Audit(Change{Time: time.Now(), Caller: c, User: c.Name(), Action: action, Request: request, Err: err})
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	action, caller, err := s.permit(ctx, info.FullMethod)
	var resp any
	if err == nil {
		resp, err = handler(ctx, req)
	}
	if m, ok := req.(proto.Message); ok && action != "" {
		s.audit(caller, action, string(view.AppendMessage(nil, m)), err)
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return resp, nil
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	action, caller, err := s.permit(stream.Context(), info.FullMethod)
	recorded := &recordingStream{ServerStream: stream}
	if err == nil {
		err = handler(srv, recorded)
	}
	request := "{}"
	if recorded.last != nil && action != "" {
		request = string(view.AppendMessage(nil, recorded.last))
	}
	s.audit(caller, action, request, err)
	return toStatus(err)
}

// recordingStream remembers the last message that was sent: of an import, which
// is the one stream that changes something, its counts.
type recordingStream struct {
	grpc.ServerStream
	last proto.Message
}

func (r *recordingStream) SendMsg(m any) error {
	r.last, _ = m.(proto.Message)
	return r.ServerStream.SendMsg(m)
}
