package estimate

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

//go:embed prices.json
var pricesJSON []byte

//go:embed rates.json
var ratesJSON []byte

// A Price is what a service takes for a unit of what it does.
type Price struct {
	Name       string  `json:"name"`
	USD        float64 `json:"usd"` // for Per units
	Per        float64 `json:"per"`
	Unit       string  `json:"unit"`
	Region     string  `json:"region"`
	AsOf       string  `json:"as_of"`      // 2006-01-02
	Confidence string  `json:"confidence"` // A: two independent sources; B: one; C: not confirmed
	Source     string  `json:"source"`
}

// A Rate is how fast, or how much, something is: what the model multiplies with.
// Worst makes a load slower or dearer than Best.
type Rate struct {
	Name       string  `json:"name"`
	Worst      float64 `json:"worst"`
	Likely     float64 `json:"likely"`
	Best       float64 `json:"best"`
	Unit       string  `json:"unit"`
	AsOf       string  `json:"as_of"`      // 2006-01-02
	Confidence string  `json:"confidence"` // B: measured or documented; C: derived from a measurement; D: a guess
	Source     string  `json:"source"`
	How        string  `json:"how"` // it was measured, or why it is guessed
}

// Prices returns the table of prices.
func Prices() ([]Price, error) {
	var out []Price
	if err := json.Unmarshal(pricesJSON, &out); err != nil {
		return nil, fmt.Errorf("read the table of prices: %w", err)
	}
	return out, nil
}

// Rates returns the table of rates.
func Rates() ([]Rate, error) {
	var out []Rate
	if err := json.Unmarshal(ratesJSON, &out); err != nil {
		return nil, fmt.Errorf("read the table of rates: %w", err)
	}
	return out, nil
}

// tables are prices and rates by their names.
type tables struct {
	prices map[string]Price
	rates  map[string]Rate
	// Of the prices: the earliest day, and the region.
	asOf, region string
}

func readTables() (*tables, error) {
	prices, err := Prices()
	if err != nil {
		return nil, err
	}
	rates, err := Rates()
	if err != nil {
		return nil, err
	}
	t := &tables{prices: map[string]Price{}, rates: map[string]Rate{}}
	for _, p := range prices {
		t.prices[p.Name] = p
		if t.asOf == "" || p.AsOf < t.asOf {
			t.asOf = p.AsOf
		}
		t.region = p.Region
	}
	for _, r := range rates {
		t.rates[r.Name] = r
	}
	for _, name := range priceNames {
		if _, ok := t.prices[name]; !ok {
			return nil, fmt.Errorf("the table of prices has none for %s", name)
		}
	}
	for _, name := range rateNames() {
		if _, ok := t.rates[name]; !ok {
			return nil, fmt.Errorf("the table of rates has none for %s", name)
		}
	}
	return t, nil
}

// An outcome is one of the three ways in which all rates may turn out at once.
type outcome int

const (
	best outcome = iota
	likely
	worst
)

var outcomes = []outcome{best, likely, worst}

// rate returns a rate as it turns out. Every name is in rateNames.
func (t *tables) rate(name string, o outcome) float64 {
	r := t.rates[name]
	switch o {
	case best:
		return r.Best
	case worst:
		return r.Worst
	case likely:
	}
	return r.Likely
}

// The names that the model asks for.
const (
	rateGunzip      = "gunzip"
	rateNetwork     = "network"
	rateSurvey      = "survey-share"
	rateImport      = "import"
	rateKeys        = "keys"
	rateSlices      = "slices"
	rateIndexes     = "indexes"
	rateACU         = "acu-per-connection"
	rateCall        = "call"
	rateChild       = "child"
	rateMapRun      = "map-run"
	rateAPI         = "data-api-call"
	rateSmall       = "small-objects"
	rateResume      = "resume"
	ratePack        = "pack"
	rateStored      = "stored"
	rateIO          = "io"
	rateOfMap       = "map-"      // and a format
	rateOfCount     = "count-"    // and a format
	rateOfRevision  = "revision-" // and a format
	rateOfInflation = "inflate-"  // and a format
	rateOfRow       = "row-"      // and a format
)

const (
	priceARM         = "lambda-arm64"
	priceX86         = "lambda-x86_64"
	priceRequests    = "lambda-requests"
	priceTransitions = "states-transitions"
	priceWrites      = "s3-writes"
	priceReads       = "s3-reads"
	priceS3          = "s3-storage"
	priceAPI         = "data-api"
	priceACU         = "aurora-acu"
	priceStorage     = "aurora-storage"
	priceIO          = "aurora-io"
)

var priceNames = []string{priceARM, priceX86, priceRequests, priceTransitions, priceWrites, priceReads, priceS3, priceAPI, priceACU, priceStorage, priceIO}

// Formats are the formats of an export, as its manifest names them.
var Formats = []string{"ION_BINARY", "ION_TEXT", formatJSON}

const formatJSON = "JSON"

func rateNames() []string {
	names := []string{rateGunzip, rateNetwork, rateSurvey, rateImport, rateKeys, rateSlices, rateIndexes, rateACU, rateCall, rateChild, rateMapRun, rateAPI, rateSmall, rateResume, ratePack, rateStored, rateIO}
	for _, prefix := range []string{rateOfMap, rateOfCount, rateOfRevision, rateOfInflation, rateOfRow} {
		for _, f := range Formats {
			names = append(names, prefix+f)
		}
	}
	return slices.Clip(names)
}
