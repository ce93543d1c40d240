package speaker_test

import (
	"fmt"

	"github.com/vqaudio/vqaudio/speaker"
)

func ExampleTable_Mix() {
	table, err := speaker.NewTable([]string{"ann", "bob"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(table.Mix("bob"))
	fmt.Println(table.Mix("ann:3,bob:1"))
	fmt.Println(table.Mix("ann:3,bob:-1"))
	// Output:
	// [{1 1}] <nil>
	// [{0 0.75} {1 0.25}] <nil>
	// [] weight -1 of speaker "bob": want a number above 0
}
