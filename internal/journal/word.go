package journal

// A word is a field name of the journal format.
type word uint8

const (
	noWord word = iota
	blockAddress
	strandID
	sequenceNo
	transactionID
	blockTimestamp
	blockHash
	entriesHash
	previousBlockHash
	entriesHashList
	transactionInfo
	statements
	statement
	startTime
	statementDigest
	documents
	tableName
	tableID
	redactionInfo
	revisions
	hash
	data
	dataHash
	metadata
	documentKey // id
	version
	txTime
	txID
	documentID
	revisionSummaries // this and the following: of streams
	tableInfo
	revision
)

var wordNames = [...]string{
	"", "blockAddress", "strandId", "sequenceNo", "transactionId", "blockTimestamp", "blockHash", "entriesHash",
	"previousBlockHash", "entriesHashList", "transactionInfo", "statements", "statement", "startTime",
	"statementDigest", "documents", "tableName", "tableId", "redactionInfo", "revisions", "hash", "data", "dataHash",
	"metadata", "id", "version", "txTime", "txId", "documentId", "revisionSummaries", "tableInfo", "revision",
}

func (w word) String() string { return wordNames[w] }

// wordOf returns the word that name is, or noWord.
func wordOf(name []byte) word {
	switch string(name) {
	case "blockAddress":
		return blockAddress
	case "strandId":
		return strandID
	case "sequenceNo":
		return sequenceNo
	case "transactionId":
		return transactionID
	case "blockTimestamp":
		return blockTimestamp
	case "blockHash":
		return blockHash
	case "entriesHash":
		return entriesHash
	case "previousBlockHash":
		return previousBlockHash
	case "entriesHashList":
		return entriesHashList
	case "transactionInfo":
		return transactionInfo
	case "statements":
		return statements
	case "statement":
		return statement
	case "startTime":
		return startTime
	case "statementDigest":
		return statementDigest
	case "documents":
		return documents
	case "tableName":
		return tableName
	case "tableId":
		return tableID
	case "redactionInfo":
		return redactionInfo
	case "revisions":
		return revisions
	case "hash":
		return hash
	case "data":
		return data
	case "dataHash":
		return dataHash
	case "metadata":
		return metadata
	case "id":
		return documentKey
	case "version":
		return version
	case "txTime":
		return txTime
	case "txId":
		return txID
	case "documentId":
		return documentID
	case "revisionSummaries":
		return revisionSummaries
	case "tableInfo":
		return tableInfo
	case "revision":
		return revision
	}
	return noWord
}
