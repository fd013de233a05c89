package api_test

import "testing"

func TestSmoke(t *testing.T) {
	w := newWorld(t)
	w.program()
	t.Log(w.do(ask{method: "GET", path: "/programs", who: &owner}).body[:200])
}
