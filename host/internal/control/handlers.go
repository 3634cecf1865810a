package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxName bounds the name or the path of a plugin in a request, in bytes.
const maxName = 4096 // PATH_MAX

// handlers checks requests and hands them to the Backend. Errors become status
// codes in the interceptors of the Server.
type handlers struct {
	ironpostv1.UnimplementedControlServer
	Backend
	server *Server
}

func unsupported(what string) error {
	return fmt.Errorf("%w: this host has nothing that answers %s", ErrNotSupported, what)
}

func (h *handlers) Status(ctx context.Context, _ *ironpostv1.StatusRequest) (*ironpostv1.StatusResponse, error) {
	if h.Backend.Status == nil {
		return nil, unsupported("status")
	}
	resp, err := h.Backend.Status.Status(ctx)
	if err != nil {
		return nil, err
	}
	if n := h.server.TailDropped(); n > 0 {
		resp.Dropped = append(resp.Dropped, &ironpostv1.Drop{Stage: "control", Reason: "slow_reader", Count: n})
	}
	return resp, nil
}

func (h *handlers) ListPlugins(ctx context.Context, req *ironpostv1.ListPluginsRequest) (*ironpostv1.ListPluginsResponse, error) {
	if h.Plugins == nil {
		return nil, unsupported("plugin list")
	}
	look := h.Plugins.ListPlugins
	if k, ok := h.Plugins.(KnownPlugins); ok && req.GetKnown() {
		look = k.KnownPlugins
	}
	list, err := look(ctx)
	return &ironpostv1.ListPluginsResponse{Plugins: list}, err
}

func (h *handlers) PluginInfo(ctx context.Context, req *ironpostv1.PluginRequest) (*ironpostv1.PluginInfoResponse, error) {
	if h.Plugins == nil {
		return nil, unsupported("plugin info")
	}
	return named(ctx, req, h.Plugins.PluginInfo)
}

func (h *handlers) EnablePlugin(ctx context.Context, req *ironpostv1.PluginRequest) (*ironpostv1.PluginInfoResponse, error) {
	if h.Changer == nil {
		return nil, unsupported("plugin enable")
	}
	if err := checkDigest(req.GetSha256()); err != nil {
		return nil, err
	}
	return named(ctx, req, func(ctx context.Context, name string) (*ironpostv1.PluginInfoResponse, error) {
		return h.Changer.EnablePlugin(ctx, name, req.GetSha256())
	})
}

func (h *handlers) DisablePlugin(ctx context.Context, req *ironpostv1.PluginRequest) (*ironpostv1.PluginInfoResponse, error) {
	if h.Changer == nil {
		return nil, unsupported("plugin disable")
	}
	return named(ctx, req, h.Changer.DisablePlugin)
}

func (h *handlers) ReloadPlugin(ctx context.Context, req *ironpostv1.PluginRequest) (*ironpostv1.PluginInfoResponse, error) {
	if h.Changer == nil {
		return nil, unsupported("plugin reload")
	}
	return named(ctx, req, h.Changer.ReloadPlugin)
}

func (h *handlers) RemovePlugin(ctx context.Context, req *ironpostv1.PluginRequest) (*ironpostv1.RemovePluginResponse, error) {
	if h.Remover == nil {
		return nil, unsupported("plugin remove")
	}
	return named(ctx, req, func(ctx context.Context, name string) (*ironpostv1.RemovePluginResponse, error) {
		return h.Remover.RemovePlugin(ctx, name, req.GetForce())
	})
}

func (h *handlers) PluginTrust(ctx context.Context, _ *ironpostv1.PluginTrustRequest) (*ironpostv1.PluginTrustResponse, error) {
	if h.Trust == nil {
		return nil, unsupported("what plugins are held to")
	}
	return h.Trust.PluginTrust(ctx)
}

// checkDigest refuses what is no SHA-256 in lower-case hex; "" is none.
func checkDigest(digest string) error {
	if digest == "" {
		return nil
	}
	if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size || digest != strings.ToLower(digest) {
		return fmt.Errorf("%w: %.80q is not a SHA-256 in lower-case hex", ErrInvalid, digest)
	}
	return nil
}

// named calls with the name of the request, which may be a path where that is taken.
func named[R any](ctx context.Context, req *ironpostv1.PluginRequest, call func(context.Context, string) (R, error)) (R, error) {
	var none R
	switch n := len(req.GetName()); {
	case n == 0:
		return none, fmt.Errorf("%w: the name of the plugin is missing", ErrInvalid)
	case n > maxName:
		return none, fmt.Errorf("%w: the name of the plugin has %d bytes, at most %d are allowed", ErrInvalid, n, maxName)
	}
	return call(ctx, req.GetName())
}

func (h *handlers) ListRules(ctx context.Context, _ *ironpostv1.ListRulesRequest) (*ironpostv1.ListRulesResponse, error) {
	if h.Rules == nil {
		return nil, unsupported("rules list")
	}
	list, err := h.Rules.ListRules(ctx)
	return &ironpostv1.ListRulesResponse{Rules: list}, err
}

func (h *handlers) Query(req *ironpostv1.QueryRequest, stream grpc.ServerStreamingServer[ironpostv1.Batch]) error {
	if h.Store == nil {
		return unsupported("queries: enable a sink that keeps events")
	}
	if err := checkQuery(req); err != nil {
		return err
	}
	return h.Store.Query(stream.Context(), req, stream.Send)
}

// minID is how many digits of an id have to be given.
const minID = 8

// checkQuery also fills in the limit.
func checkQuery(req *ironpostv1.QueryRequest) error {
	switch req.GetKind() {
	case ironpostv1.Kind_KIND_LOG, ironpostv1.Kind_KIND_PACKET, ironpostv1.Kind_KIND_ALERT, ironpostv1.Kind_KIND_ACTION,
		ironpostv1.Kind_KIND_INVENTORY:
	default:
		return fmt.Errorf("%w: events of kind %v are not stored", ErrInvalid, req.GetKind())
	}
	if id := req.GetId(); id != "" && len(id) < minID {
		return fmt.Errorf("%w: the id %q is shorter than %d digits", ErrInvalid, id, minID)
	}
	if s := req.GetState(); s != "" && !isAlertState(s) {
		return fmt.Errorf("%w: %q is no state; allowed are open, acknowledged, closed", ErrInvalid, s)
	}
	switch n := req.GetLimit(); {
	case n == 0:
		req.Limit = 100
	case n > MaxQuery:
		return fmt.Errorf("%w: limit %d; at most %d events are answered at a time", ErrInvalid, n, MaxQuery)
	}
	return nil
}

func isAlertState(s string) bool { return s == "open" || s == "acknowledged" || s == "closed" }

// maxNote bounds the note of an operator and the reason of a block, in bytes.
const maxNote = 1024

func (h *handlers) UpdateAlert(ctx context.Context, req *ironpostv1.UpdateRequest) (*ironpostv1.UpdateResponse, error) {
	switch {
	case h.Store == nil:
		return nil, unsupported("changes of alerts: enable a sink that keeps them")
	case len(req.GetAlertId()) < minID:
		return nil, fmt.Errorf("%w: the alert id %q is shorter than %d digits", ErrInvalid, req.GetAlertId(), minID)
	case !isAlertState(req.GetState()):
		return nil, fmt.Errorf("%w: %q is no state; allowed are open, acknowledged, closed", ErrInvalid, req.GetState())
	case len(req.GetNote()) > maxNote:
		return nil, fmt.Errorf("%w: the note has %d bytes, at most %d are allowed", ErrInvalid, len(req.GetNote()), maxNote)
	}
	if c, ok := CallerFrom(ctx); ok {
		req.Actor = c.Name() // never what the caller says of itself
	}
	r, err := h.Store.UpdateAlert(ctx, req)
	if err == nil && !r.GetFound() {
		err = fmt.Errorf("%w: no alert %s", ErrNotFound, req.GetAlertId())
	}
	return r, err
}

func (h *handlers) GetMode(ctx context.Context, _ *ironpostv1.ModeRequest) (*ironpostv1.ModeResponse, error) {
	if h.Mode == nil {
		return nil, unsupported("mode")
	}
	return h.Mode.GetMode(ctx)
}

func (h *handlers) SetMode(ctx context.Context, req *ironpostv1.ModeRequest) (*ironpostv1.ModeResponse, error) {
	if h.Mode == nil {
		return nil, unsupported("mode")
	}
	if req.GetConfirm() {
		if req.GetMode() != "" || req.GetConfirmSeconds() != 0 {
			return nil, fmt.Errorf("%w: a confirmation names no mode", ErrInvalid)
		}
		return h.Mode.ConfirmMode(ctx)
	}
	switch req.GetMode() {
	case "detect", "simulate", "enforce":
	default:
		return nil, fmt.Errorf("%w: %q is no mode; allowed are detect, simulate, enforce", ErrInvalid, req.GetMode())
	}
	confirm, err := seconds("confirm", req.GetConfirmSeconds())
	if err != nil {
		return nil, err
	}
	return h.Mode.SetMode(ctx, req.GetMode(), confirm)
}

func (h *handlers) ShowConfig(ctx context.Context, _ *ironpostv1.ShowConfigRequest) (*ironpostv1.ShowConfigResponse, error) {
	if h.Config == nil {
		return nil, unsupported("config show")
	}
	values, err := h.Config.ShowConfig(ctx)
	return &ironpostv1.ShowConfigResponse{Values: values}, err
}

func (h *handlers) ReloadConfig(ctx context.Context, _ *ironpostv1.ReloadConfigRequest) (*ironpostv1.ReloadConfigResponse, error) {
	if h.Config == nil {
		return nil, unsupported("config reload")
	}
	return h.Config.ReloadConfig(ctx)
}
