// Command attendant is what runs beside the local PostgreSQL server as the
// server's user: "guard" starts the server and ends it when the process that
// asked for it is gone, "fetch" is the program that COPY runs for
// aws_s3.table_import_from_s3.
package main

import (
	"fmt"
	"os"
)

func main() {
	code := 2
	switch {
	case len(os.Args) > 3 && os.Args[1] == "guard":
		code = guard(os.Args[2], os.Args[3:])
	case len(os.Args) == 6 && os.Args[1] == "fetch":
		code = fetch(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	default:
		fmt.Fprintln(os.Stderr, "usage: attendant guard FOLDER|keep SERVER ARG... | attendant fetch CONFIG BUCKET KEY OUTCOME (bucket and key in base64url)")
	}
	os.Exit(code)
}
