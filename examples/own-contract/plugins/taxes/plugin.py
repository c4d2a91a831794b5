from billing_plugin import HookName, Plugin, hook, run_plugin
from billing_plugin.types import TaxRule


class Taxes(Plugin):
    @hook(HookName.InvoiceWillBeSent)
    def check(self, invoice):
        customer = self.api.get_customer(invoice.customer_id)
        if customer.blocked:
            return f"{customer.name} gets no more invoices"
        invoice.note = f"Thank you, {customer.name}!"
        return invoice

    @hook(HookName.InvoiceWasSent)
    def count(self, invoice):
        self.kv.update("sent", lambda sent: sent + 1, default=0)

    @hook(HookName.TaxRules)
    def rules(self, country):
        return [TaxRule(name="TVA", percent=20)] if country == "FR" else []

    @hook(HookName.ServeHTTP)
    def page(self, ctx, writer, request):
        writer.write(f"{self.kv.get('sent', 0)} invoices were sent")


if __name__ == "__main__":
    run_plugin(Taxes)
