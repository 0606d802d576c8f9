// How bad CVEs are for this Vuls: reads a JSON list of entries of scannedCves, writes a list of [source, score].
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/future-architect/vuls/models"
)

func main() {
	var entries []models.VulnInfo
	if err := json.NewDecoder(os.Stdin).Decode(&entries); err != nil {
		log.Fatal(err)
	}
	rated := make([][2]any, 0, len(entries))
	for _, entry := range entries {
		highest := entry.MaxCvssScore()
		rated = append(rated, [2]any{highest.Type, highest.Value.Score})
	}
	if err := json.NewEncoder(os.Stdout).Encode(rated); err != nil {
		log.Fatal(err)
	}
}
