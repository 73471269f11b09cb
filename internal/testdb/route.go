package testdb

import (
	"net/http"

	"godwit/internal/local/rdsdata"
	"godwit/internal/local/secrets"
)

// A route sends a request to the service that it is for.
type route struct {
	data    *rdsdata.Server
	secrets *secrets.Store
}

func (r route) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("X-Amz-Target") != "" {
		r.secrets.ServeHTTP(w, req)
		return
	}
	r.data.ServeHTTP(w, req)
}
