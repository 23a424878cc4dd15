//go:build !linux

package service

func dropText() {}
