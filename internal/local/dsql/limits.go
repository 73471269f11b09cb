package dsql

import "time"

// Limits are the service's, where a field is zero.
//
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html
type Limits struct {
	Rows           int           // changed in a transaction: 3,000
	Bytes          int64         // changed in a transaction, with overhead: 10 MiB
	Age            time.Duration // of a transaction: 300 s
	MessageBytes   int           // of a protocol message: 10 MiB
	ValueBytes     int           // of a value: 1 MiB
	RowBytes       int           // of a row: 2 MiB
	KeyBytes       int           // of a key's values: 1 KiB
	KeyColumns     int           // 8
	Columns        int           // of a table: 255
	Indexes        int           // of a table, all of them: 24
	Schemas        int           // besides public and sys: 10
	Tables         int           // 1,000
	Views          int           // 5,000
	Sequences      int           // 5,000
	Connections    int           // open at once: 10,000
	ConnectRate    int           // new connections a second: 100
	ConnectBurst   int           // new connections at once: 1,000
	ConnectionLife time.Duration // 60 min
	JobKept        time.Duration // for which an ended job is seen in sys.jobs: 30 min
	// LockWait is not the service's, which waits for no lock: it is how long a
	// statement waits for another transaction here before it is a conflict, 2 s.
	LockWait time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	during := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.Rows, 3000)
	if l.Bytes == 0 {
		l.Bytes = 10 << 20
	}
	during(&l.Age, 300*time.Second)
	set(&l.MessageBytes, 10<<20)
	set(&l.ValueBytes, 1<<20)
	set(&l.RowBytes, 2<<20)
	set(&l.KeyBytes, 1<<10)
	set(&l.KeyColumns, 8)
	set(&l.Columns, 255)
	set(&l.Indexes, 24)
	set(&l.Schemas, 10)
	set(&l.Tables, 1000)
	set(&l.Views, 5000)
	set(&l.Sequences, 5000)
	set(&l.Connections, 10_000)
	set(&l.ConnectRate, 100)
	set(&l.ConnectBurst, 1000)
	during(&l.ConnectionLife, time.Hour)
	during(&l.JobKept, 30*time.Minute)
	during(&l.LockWait, 2*time.Second)
	return l
}
