package main

// int80 makes a system call as a 32 bit x86 program does.
func int80(nr uintptr) uintptr
