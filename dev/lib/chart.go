// SPDX-License-Identifier: Apache-2.0

// Renders deploy/chart as `helm template` does, with the libraries that Helm uses, for machines without Helm.
// Usage: go run dev/lib/chart.go CHART NAMESPACE [key.key=YAML…]    Prints the templates in the order of their names.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// As Helm has them: numbers are floats, since they came through JSON.
func read(path string) map[string]interface{} {
	text, err := os.ReadFile(path)
	must(err)
	var tree, values map[string]interface{}
	must(yaml.Unmarshal(text, &tree))
	text, err = json.Marshal(tree)
	must(err)
	must(json.Unmarshal(text, &values))
	return values
}

func set(values map[string]interface{}, assignment string) {
	path, text, found := strings.Cut(assignment, "=")
	if !found {
		must(fmt.Errorf("%q is no key=value", assignment))
	}
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		below, is := values[key].(map[string]interface{})
		if !is {
			below = map[string]interface{}{}
			values[key] = below
		}
		values = below
	}
	var value interface{}
	must(yaml.Unmarshal([]byte(text), &value))
	values[keys[len(keys)-1]] = value
}

func main() {
	if len(os.Args) < 3 {
		must(fmt.Errorf("usage: chart.go CHART NAMESPACE [key.key=YAML...]"))
	}
	folder := os.Args[1]
	chart, values := read(filepath.Join(folder, "Chart.yaml")), read(filepath.Join(folder, "values.yaml"))
	for _, assignment := range os.Args[3:] {
		set(values, assignment)
	}
	about := map[string]interface{}{"AppVersion": chart["appVersion"], "Name": chart["name"], "Version": chart["version"]}
	release := map[string]interface{}{"Namespace": os.Args[2], "Name": chart["name"]}
	names, err := filepath.Glob(filepath.Join(folder, "templates", "*.yaml"))
	must(err)
	sort.Strings(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(err)
		each, err := template.New(name).Option("missingkey=zero").Funcs(sprig.TxtFuncMap()).Parse(string(text))
		must(err)
		var out strings.Builder
		must(each.Execute(&out, map[string]interface{}{"Values": values, "Chart": about, "Release": release}))
		if strings.TrimSpace(out.String()) != "" {
			fmt.Printf("---\n%s\n", strings.TrimSpace(out.String()))
		}
	}
}
