// Command trivy_db writes the file that the mirror ships as trivy-db: one fact of a Debian release that the
// security tracker has dropped. gost takes such releases from there.
//
//	go run . FILE
package main

import (
	"log"
	"os"

	"go.etcd.io/bbolt"
)

const (
	cve = "CVE-2021-44228"
	// DSA-5020-1.
	advisory = `{"FixedVersion":"2.15.0-1~deb10u1"}`
	details  = `{"Title":"Remote code execution in Log4j","Description":"A logged text can make Log4j load and run code from elsewhere."}`
)

func main() {
	// The smallest pages: the file is nearly empty.
	db, err := bbolt.Open(os.Args[1], 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(write); err != nil {
		log.Fatal(err)
	}
}

func write(tx *bbolt.Tx) error {
	vulnerabilities, err := tx.CreateBucket([]byte("vulnerability"))
	if err != nil {
		return err
	}
	if err := vulnerabilities.Put([]byte(cve), []byte(details)); err != nil {
		return err
	}
	release, err := tx.CreateBucket([]byte("debian 10"))
	if err != nil {
		return err
	}
	source, err := release.CreateBucket([]byte("apache-log4j2"))
	if err != nil {
		return err
	}
	return source.Put([]byte(cve), []byte(advisory))
}
