package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/problem"
)

// CursorBad: a text is no place in the audit rows.
const CursorBad problem.Code = "api.cursor-bad"

// AuditRow is one thing that was done.
type AuditRow struct {
	Writer   string         `json:"writer"`
	Seq      int64          `json:"seq"`
	At       time.Time      `json:"at"`
	Actor    string         `json:"actor"`
	Act      string         `json:"act"`
	Object   string         `json:"object"`
	Customer access.Tenant  `json:"customer,omitempty"`
	Detail   map[string]any `json:"detail"`
	Previous audit.Hash     `json:"previous"`
	Hash     audit.Hash     `json:"hash"`
}

// AuditRows is a page of audit rows, by writer and number.
type AuditRows struct {
	Rows []AuditRow `json:"rows"`
	Next string     `json:"next,omitempty" doc:"The place after which the next page begins"`
}

// VerifyAudit asks whether the audit rows are those that were written.
type VerifyAudit struct {
	Checkpoints []string `json:"checkpoints,omitempty" maxItems:"1000" doc:"Signed ones that somebody kept"`
}

// AuditReport is what a verification found.
type AuditReport struct {
	Intact bool `json:"intact"`
	audit.Report
}

func (s *server) audit() {
	add(s, operation{id: "list-audit", method: http.MethodGet, path: "/audit", permission: access.AuditRead,
		summary: "Who did what, to what and when"}, s.auditRows)
	add(s, operation{id: "verify-audit", method: http.MethodPost, path: "/audit/verification", permission: access.AuditRead, dry: true, limit: maxFile,
		summary: "Find rows that are changed, missing, reordered, truncated or added"},
		func(ctx context.Context, _ access.Actor, in *struct{ Body VerifyAudit }) (AuditReport, error) {
			var against []audit.Checkpoint
			for _, text := range in.Body.Checkpoints {
				c, err := s.Authority.Checkpoint(ctx, text)
				if err != nil {
					return AuditReport{}, err
				}
				against = append(against, c)
			}
			report, err := audit.Verify(ctx, s.DB, against...)
			return AuditReport{report.Err() == nil, report}, err
		})
}

type auditQuery struct {
	Object   string    `query:"object" maxLength:"200" doc:"order/order-…"`
	Customer string    `query:"customer" maxLength:"1000"`
	From     time.Time `query:"from" doc:"The first instant"`
	Until    time.Time `query:"until" doc:"The first instant after"`
	After    string    `query:"after" maxLength:"100" doc:"The place that the page before named as next"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// errEnough ends an export at the end of a page.
var errEnough = errors.New("the page is full")

func (s *server) auditRows(ctx context.Context, actor access.Actor, in *auditQuery) (AuditRows, error) {
	q := audit.Query{Tenant: actor.Tenant, Object: in.Object, From: in.From, Until: in.Until}
	if in.Customer != "" {
		c, err := s.Sales.Customer(ctx, actor, in.Customer)
		if err != nil {
			return AuditRows{}, err
		}
		q.Tenant = c.ID
	}
	page := pager{rows: []AuditRow{}, limit: in.Limit}
	if in.After != "" {
		writer, seq, found := strings.Cut(in.After, "/")
		var err error
		if page.seq, err = strconv.ParseInt(seq, 10, 64); err != nil || !found {
			return AuditRows{}, problem.New(problem.Invalid, CursorBad, "after", in.After)
		}
		page.writer = writer
	}
	err := audit.Export(ctx, s.DB, q, &page)
	out := AuditRows{Rows: page.rows}
	if errors.Is(err, errEnough) {
		last := page.rows[len(page.rows)-1]
		out.Next, err = fmt.Sprintf("%s/%d", last.Writer, last.Seq), nil
	}
	return out, err
}

// pager takes the lines of an export that stand after a place.
type pager struct {
	writer string
	seq    int64
	limit  int
	rows   []AuditRow
}

func (p *pager) Write(line []byte) (int, error) {
	var row struct {
		AuditRow
		At     int64         `json:"at"`
		Tenant access.Tenant `json:"tenant"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return 0, err
	}
	if p.writer != "" { // the order of writers is the database's
		if row.Writer == p.writer && row.Seq == p.seq {
			p.writer = ""
		}
		return len(line), nil
	}
	if len(p.rows) == p.limit {
		return 0, errEnough
	}
	row.AuditRow.At, row.Customer = time.Unix(row.At, 0).UTC(), row.Tenant
	p.rows = append(p.rows, row.AuditRow)
	return len(line), nil
}
