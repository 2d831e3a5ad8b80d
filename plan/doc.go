package plan

//go:generate go run ./genheader ../nsexec/stage/plan_abi.h
