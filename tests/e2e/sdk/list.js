// Prints both lists, as BagelPay's client returns them: list.js URL KEY [PAGE-SIZE]
import { BagelPayClient } from 'bagelpay';

const [baseUrl, apiKey, size = '100'] = process.argv.slice(2);
const client = new BagelPayClient({ baseUrl, apiKey });

async function all(list) {
    const items = [];
    for (let page = 1; ; page++) {
        const answer = await list(page, Number(size));
        items.push(...answer.items);
        if (answer.items.length === 0 || items.length >= answer.total) {
            return items;
        }
    }
}

console.log(JSON.stringify({
    transactions: await all((page, size) => client.listTransactions(page, size)),
    subscriptions: await all((page, size) => client.listSubscriptions(page, size)),
}));
