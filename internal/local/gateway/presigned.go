package gateway

import "net/http"

// A Signer is who signed a presigned request.
type Signer struct {
	Role    string // ARN of the role; "" is the root user
	Service string // that the request was signed for

	gateway  *Gateway
	identity *identity
}

// Verify checks a presigned request that came by another protocol than HTTP,
// such as the token with which a client connects to Aurora DSQL. It judges
// nothing: see Admit. The error says in AWS's words why the signature is refused.
func (g *Gateway) Verify(r *http.Request) (Signer, error) {
	who, service, err := g.authenticate(r, nil)
	if err != nil {
		return Signer{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if who.dead {
		return Signer{}, &signatureError{"InvalidAccessKeyId", "the process that the access key was issued to was killed"}
	}
	return Signer{Role: who.role, Service: service, gateway: g, identity: who}, nil
}

// Kill takes the signer's process down, as the faults KillBefore and KillAfter
// say.
func (s Signer) Kill() { s.gateway.kill(s.identity) }
