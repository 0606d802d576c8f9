// Which releases the table of this Vuls knows: reads a JSON list of [family, release], writes a list of booleans.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/future-architect/vuls/config"
)

func main() {
	var asked [][2]string
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	known := make([]bool, 0, len(asked))
	for _, each := range asked {
		_, found := config.GetEOL(each[0], each[1])
		known = append(known, found)
	}
	if err := json.NewEncoder(os.Stdout).Encode(known); err != nil {
		log.Fatal(err)
	}
}
