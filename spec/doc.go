// Package spec reads what the OCI runtime specification defines: config.json, the process of exec and the resources of update. It
// checks all that can be checked without looking at the machine, and it writes the example configuration and the features document.
//
// Errors name the file, the place or the JSON field, and the reason:
//
//	config.json:12:13: process.cwd: invalid character '}' looking for beginning of value, at: "cwd": --> }
//	config.json: process.cwd: "tmp" is not an absolute path
package spec
