module vulsweb.invalid/tests/trivy_db

go 1.24

require go.etcd.io/bbolt v1.4.0

require golang.org/x/sys v0.29.0 // indirect
