// Package estimate owns what a load will take and cost before it begins: a
// model of LedgerLoad's steps over two dated tables, of prices (prices.json) and
// of rates (rates.json), and a coarser one of SnapshotLoad's.
//
// It leaves finding the facts to migrate and showing the estimate to report. It
// is pure: the same Facts give the same Estimate.
//
// Promises: items, children, transitions, calls and requests are counted as the
// workflow makes them; every figure that is not a count is a Range, from every
// rate at its best to every rate at its worst, never a single number; what was
// not known is assumed, and every assumption is in the Estimate in words; what
// the estimate leaves out is named. Prices are of one region and one day, which
// the Estimate names.
package estimate
