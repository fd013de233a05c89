package api

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func TestRender(t *testing.T) {
	var log strings.Builder
	s := &server{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Random: strings.NewReader(strings.Repeat("\x01", 8))}}
	p := &program.Program{Public: program.Public{Codes: map[problem.Code]string{KeyBusy: "0xC004C020"}}}
	first, second := problem.New(problem.Conflict, KeyBusy, "key", "k"), problem.New(problem.Invalid, CursorBad, "after", "x")
	r := s.render(t.Context(), "en", "op", under(p, errors.Join(first, second)))
	if r.Status != 409 || r.Vendor != "0xC004C020" || len(r.Others) != 1 || r.Others[0].Code != CursorBad || r.Others[0].Vendor != "" || log.Len() > 0 {
		t.Errorf("refusal %+v, log %s", r, log.String())
	}
	r = s.render(t.Context(), "en", "op", under(p, errors.New("disk on fire")))
	if r.Code != wire.InternalError || r.Request != "0101010101010101" || strings.Contains(r.Detail, "disk") {
		t.Errorf("internal error %+v", r)
	}
	if text := log.String(); !strings.Contains(text, "disk on fire") || !strings.Contains(text, r.Request) || !strings.Contains(text, "operation=op") {
		t.Errorf("log: %s", text)
	}
	if under(p, nil) != nil || !errors.Is(under(nil, first), error(first)) {
		t.Error("a program makes an error of nothing")
	}
}
