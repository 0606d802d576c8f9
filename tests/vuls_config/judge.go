// The verdict of Vuls' own loader on configurations: reads a JSON list of texts, writes a list with the reason
// for each that it refuses, or an empty text. With the argument "options", writes the options that the loader
// knows, each with the type it has.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/future-architect/vuls/config"
	"github.com/future-architect/vuls/logging"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "options" {
		found := map[string]string{}
		// A server is read in the forms of both versions.
		collect(found, "server", reflect.TypeOf(config.Server{}))
		collect(found, "server", reflect.TypeOf(config.ServerInfo{}))
		collect(found, "default", reflect.TypeOf(config.ServerInfo{}))
		collect(found, "wpscan", reflect.TypeOf(config.WpScanConf{}))
		if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
			log.Fatal(err)
		}
		return
	}
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "judge")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	reasons := make([]string, 0, len(texts))
	for _, text := range texts {
		path := filepath.Join(folder, "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
		reasons = append(reasons, reason(path))
	}
	if err := json.NewEncoder(os.Stdout).Encode(reasons); err != nil {
		log.Fatal(err)
	}
}

func collect(found map[string]string, path string, kind reflect.Type) {
	switch kind.Kind() {
	case reflect.Pointer:
		collect(found, path, kind.Elem())
	case reflect.Map:
		collect(found, path+".*", kind.Elem())
	case reflect.Struct:
		for number := range kind.NumField() {
			field := kind.Field(number)
			name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
			if name == "-" || !field.IsExported() {
				continue
			}
			if name == "" {
				name = field.Name
			}
			collect(found, path+"."+strings.ToLower(name), field.Type)
		}
	default:
		found[path] = kind.String()
	}
}

// Load as the commands scan and configtest do.
func reason(path string) (said string) {
	defer func() {
		// Some names make Vuls crash, which refuses them too.
		if crash := recover(); crash != nil {
			said = fmt.Sprint("crash: ", crash)
		}
	}()
	config.Conf, config.ConfV1 = config.Config{}, config.V1{}
	if err := config.Load(path); err != nil {
		return err.Error()
	}
	var lines bytes.Buffer
	logging.Log = logging.NewNormalLogger()
	logging.Log.Logger.SetOutput(io.Writer(&lines))
	if config.Conf.ValidateOnConfigtest() && config.Conf.ValidateOnScan() {
		return ""
	}
	return "invalid: " + lines.String()
}
