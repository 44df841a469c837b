// A small HTTP server that hands over without losing a request. Go 1.19, nothing but its standard library.
//
//	go build -ldflags "-X main.version=1.0.0" -o server server.go
//	fetchd run --listen web=:8080 -- ./server
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var version = "1.0.0"

// Connections that have not sent anything yet are served for so long after the drain has begun.
const lameDuck = 2 * time.Second

// The first socket of systemd's protocol, which fetchd speaks, too.
func inherited() (net.Listener, error) {
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || count < 1 {
		return nil, errors.New("no socket was passed: start this with `fetchd run --listen web=:8080 -- ./server`")
	}
	file := os.NewFile(3, "web")
	// The listener has a copy of its own; this one would keep the port open.
	defer file.Close()
	return net.FileListener(file)
}

func notify(message string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	// A leading @ is Go's notation for abstract sockets, too.
	line, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer line.Close()
	_, err = line.Write([]byte(message))
	return err
}

func main() {
	// fetchd asks a release for its version before it installs it.
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("server", version)
		return
	}
	var draining atomic.Bool
	server := &http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/slow") {
			time.Sleep(2 * time.Second)
		}
		body, _ := json.Marshal(struct {
			Version string `json:"version"`
			PID     int    `json:"pid"`
		}{version, os.Getpid()})
		if draining.Load() {
			// Tells the client, and net/http, that this was the last one.
			answer.Header().Set("Connection", "close")
		}
		answer.Header().Set("Content-Type", "application/json")
		answer.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = answer.Write(body)
	})}

	listener, err := inherited()
	if err != nil {
		log.Fatal(err)
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := notify("READY=1"); err != nil {
		log.Fatal(err)
	}

	select {
	case err := <-served:
		log.Fatal(err)
	case <-terminate:
	}
	draining.Store(true)
	// Accepts no more, and leaves the queue to the new process, which has this socket, too. Neither Shutdown nor
	// SetKeepAlivesEnabled(false) yet: both close idle connections at once, whatever is on its way to them.
	listener.Close()
	time.Sleep(lameDuck)
	// Closes those that are idle, and waits for the others. fetchd ends a drain that takes too long.
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
