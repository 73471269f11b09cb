package ledgergen

type model struct{ kind, make, model string }

// Values to choose from. Nothing changes them; Go has no constant slices.
var (
	firstNames   = []string{"Raul", "Brent", "Alexis", "Melvin", "Salvatore", "Zoë", "José", "Ngọc", "Søren", "Mary-Jane", "Дарья", "玲"}
	lastNames    = []string{"Lewis", "Logan", "Pena", "Parker", "Spencer", "O'Neill", "Müller", "van der Berg", "Núñez", "Li"}
	streets      = []string{"Pine Street", "Stewart Street", "Cambridge Street", "Bear Creek Road", "Main St", "Rue de l'Église"}
	cities       = []string{"Seattle", "Everett", "Olympia", "Tacoma", "Coeur d'Alene", "San José", "Québec"}
	states       = []string{"WA", "OR", "CA", "ID", "BC"}
	paints       = []string{"Silver", "Blue", "White", "Black", "Midnight Green", "Weiß"}
	licenseTypes = []string{"Learner", "Probationary", "Full"}
	models       = []model{
		{"Sedan", "Audi", "A5"},
		{"Sedan", "Tesla", "Model S"},
		{"Motorcycle", "Ducati", "Monster 1200"},
		{"Semi", "Ford", "F 150"},
		{"Sedan", "Mercedes", "CLK 350"},
		{"SUV", "Škoda", "Kodiaq"},
	}
	subjects   = []string{"Inspection", "Complaint", "Recall", "", "Überprüfung"}
	noteFields = []string{"body", "tags", "seen", "amount", "attachment", "author", "ref no", "größe", "null", "a.b", "x"}
	remarks    = []string{
		"ok", "line one\nline two", "tab\there", `back\slash and "quotes"`, "it's fine", "emoji 🚗💨", "日本語", "\u0007 bell", "{\"not\":\"json\"}",
		"2021-08-03T17:04:05Z", "\\N", "null", "90.25", "a,b;c|d",
	}
	floats = []float64{0, 2.5, 2, -0.1, 100, 1e21, 1e-7, 3.141592653589793, 6.02214076e23, -1.5e-10}
)
