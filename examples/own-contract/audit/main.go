// audit is a plugin of the billing backend in Go. It needs nothing but go-plugin and the stubs of the contract: whatever
// else a plugin may serve, it leaves out.
package main

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	billing "audit/contract/billing/v1"
)

// Invoices of more than this have to be looked at by somebody, in cents.
const limit = 1_000_000

type hooks struct {
	billing.UnimplementedBillingHooksServer
	api billing.BillingApiClient
	log hclog.Logger
}

func (h *hooks) InvoiceWillBeSent(
	ctx context.Context, request *billing.InvoiceWillBeSentRequest,
) (*billing.InvoiceWillBeSentResponse, error) {
	invoice := request.GetInvoice()
	if invoice.GetAmountCents() <= limit {
		return &billing.InvoiceWillBeSentResponse{}, nil
	}
	answer, err := h.api.GetCustomer(ctx, &billing.GetCustomerRequest{Id: invoice.GetCustomerId()})
	if err != nil {
		return nil, err
	}
	return &billing.InvoiceWillBeSentResponse{
		Refusal: "too much for " + answer.GetCustomer().GetName() + " without a second look",
	}, nil
}

func (h *hooks) InvoiceWasSent(
	_ context.Context, request *billing.InvoiceWasSentRequest,
) (*billing.InvoiceWasSentResponse, error) {
	h.log.Info("an invoice was sent", "invoice", request.GetInvoice().GetId())
	return &billing.InvoiceWasSentResponse{}, nil
}

type served struct {
	plugin.NetRPCUnsupportedPlugin
	hooks *hooks
}

func (s *served) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	billing.RegisterBillingHooksServer(server, s.hooks)
	return nil
}

func (s *served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func main() {
	log := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true, Level: hclog.Debug})
	// The host says where its API is.
	connection, err := grpc.NewClient(
		os.Getenv("PLUGIN_SUPERVISOR_API_TARGET"), grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		log.Error("the host can't be reached", "error", err)
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "BILLING_PLUGIN",
			MagicCookieValue: "invoices for everybody",
		},
		Plugins: map[string]plugin.Plugin{
			"billing": &served{hooks: &hooks{api: billing.NewBillingApiClient(connection), log: log}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     log,
	})
}
