// Round trips with kafkajs: each test gets topics and groups of its own. Prints a line per test and how many passed.
'use strict'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const FULL = process.env.FULL === '1'
const TEST_LIMIT = 60_000
const kafka = new Kafka({ clientId: 'peer', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING })
const admin = kafka.admin()
const tests = []
const test = (name, body) => tests.push({ name, body })

let last = 0
const unique = what => `${what}-${process.pid}-${++last}`
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))
const numbers = count => Array.from({ length: count }, (_, n) => n)
const sorted = list => [...list].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

async function until(what, condition, limit = 30_000) {
  const stop = Date.now() + limit
  for (;;) {
    const found = await condition()
    if (found) return found
    if (Date.now() > stop) throw new Error(`waited ${limit} ms in vain until ${what}`)
    await sleep(50)
  }
}

async function topicOf(numPartitions = 1, configEntries = []) {
  const topic = unique('topic')
  assert.equal(await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions, configEntries }] }), true)
  return topic
}

// Clients of the running test; whatever it leaves open is closed after it.
let open = []
async function producerOf(options = {}) {
  const producer = kafka.producer(options)
  open.push(producer)
  await producer.connect()
  return producer
}

// A member of `groupId` that keeps what it sees in `.seen`; `.assigned` is its newest assignment.
async function memberOf(groupId, topic, options, running) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 300, maxWaitTimeInMs: 100, ...options })
  open.push(consumer)
  const member = { consumer, seen: [], assigned: null, joins: 0 }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.assigned = payload.memberAssignment[topic] || []
    member.memberId = payload.memberId
    member.joins += 1
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const keep = async ({ partition, message }) => {
    member.seen.push({ partition, offset: message.offset, key: message.key && message.key.toString(),
      value: message.value && message.value.toString(), headers: message.headers, timestamp: message.timestamp })
  }
  await consumer.run({ eachMessage: keep, ...running(member) })
  return member
}
const simply = () => ({})
const values = member => member.seen.map(({ value }) => value)

async function allOf(topic, count, options = {}) {
  const member = await memberOf(unique('group'), topic, options, simply)
  await until(`${count} records of ${topic} are seen`, () => member.seen.length >= count)
  await sleep(200)
  await member.consumer.disconnect()
  return member.seen
}

const offsetsOf = async (groupId, topic, more = {}) =>
  Object.fromEntries((await admin.fetchOffsets({ groupId, topics: [topic], ...more }))[0].partitions.map(p => [p.partition, p.offset]))

const messages = (count, of = n => ({ value: `v${n}` })) => numbers(count).map(of)

// Producers and what they write.

test('keys, values, tombstones, headers and timestamps come back', async () => {
  const topic = await topicOf()
  const producer = await producerOf()
  const timestamp = '1700000000123'
  const result = await producer.send({ topic, messages: [
    { key: 'k', value: 'v', headers: { one: '1', many: ['a', 'b'], empty: '' }, timestamp },
    { key: null, value: 'no key' },
    { key: 'gone', value: null },
    { key: '', value: '' },
    { key: Buffer.from([0, 255, 128]), value: 'ünïcödé ✓' },
  ] })
  assert.deepEqual(result.map(r => [r.partition, r.errorCode, r.baseOffset]), [[0, 0, '0']])
  const seen = await allOf(topic, 5)
  assert.deepEqual(seen.map(s => s.offset), ['0', '1', '2', '3', '4'])
  assert.equal(seen[0].timestamp, timestamp)
  assert.equal(seen[0].headers.one.toString(), '1')
  assert.deepEqual(seen[0].headers.many.map(String), ['a', 'b'])
  assert.equal(seen[0].headers.empty.length, 0)
  assert.equal(seen[1].key, null)
  assert.deepEqual([seen[2].key, seen[2].value], ['gone', null])
  assert.deepEqual([seen[3].key, seen[3].value], ['', ''])
  assert.equal(seen[4].value, 'ünïcödé ✓')
})

for (const acks of [-1, 0, 1]) {
  test(`acks=${acks}`, async () => {
    const topic = await topicOf()
    const producer = await producerOf()
    for (const batch of numbers(5)) await producer.send({ topic, acks, messages: messages(20, n => ({ value: `${batch}-${n}` })) })
    const seen = await allOf(topic, 100)
    assert.deepEqual(seen.map(s => s.value), numbers(100).map(n => `${Math.floor(n / 20)}-${n % 20}`))
  })
}

test('gzip', async () => {
  const topic = await topicOf()
  const producer = await producerOf()
  const count = FULL ? 100_000 : 5_000
  for (let from = 0; from < count; from += 1000) {
    await producer.send({ topic, compression: CompressionTypes.GZIP, messages: messages(1000, n => ({ value: `value ${from + n}` })) })
  }
  assert.deepEqual((await allOf(topic, count)).map(s => s.value), numbers(count).map(n => `value ${n}`))
})

test('sendBatch writes several topics at once', async () => {
  const topics = [await topicOf(3), await topicOf(2)]
  const producer = await producerOf()
  await producer.sendBatch({ topicMessages: topics.map(topic => ({ topic, messages: messages(30, n => ({ key: `k${n}`, value: `v${n}` })) })) })
  for (const topic of topics) {
    const seen = await allOf(topic, 30)
    assert.deepEqual(sorted(seen.map(s => s.value)), sorted(numbers(30).map(n => `v${n}`)))
  }
})

test('equal keys go to one partition, named partitions are kept', async () => {
  const topic = await topicOf(8)
  const producer = await producerOf()
  await producer.send({ topic, messages: numbers(80).map(n => ({ key: `k${n % 4}`, value: 'by key' })) })
  await producer.send({ topic, messages: numbers(8).map(n => ({ partition: n, value: `to ${n}` })) })
  const seen = await allOf(topic, 88)
  for (const key of numbers(4).map(n => `k${n}`)) {
    assert.equal(new Set(seen.filter(s => s.key === key).map(s => s.partition)).size, 1)
  }
  for (const n of numbers(8)) assert.equal(seen.find(s => s.value === `to ${n}`).partition, n)
})

test('an idempotent producer with requests side by side writes each record once and in order', async () => {
  const topic = await topicOf(4)
  const producer = await producerOf({ idempotent: true, maxInFlightRequests: 5 })
  const rounds = FULL ? 2000 : 100
  for (const round of numbers(rounds)) {
    await producer.send({ topic, messages: numbers(4).map(partition => ({ partition, value: `${round}` })) })
  }
  const seen = await allOf(topic, rounds * 4)
  assert.equal(seen.length, rounds * 4)
  for (const partition of numbers(4)) {
    assert.deepEqual(seen.filter(s => s.partition === partition).map(s => s.value), numbers(rounds).map(String))
  }
})

test('a record over max.message.bytes is refused', async () => {
  const topic = await topicOf(1, [{ name: 'max.message.bytes', value: '1000' }])
  const producer = await producerOf({ retry: { retries: 0 } })
  await assert.rejects(producer.send({ topic, messages: [{ value: 'x'.repeat(2000) }] }),
    error => /MESSAGE_TOO_LARGE/.test(`${error.type} ${error.cause && error.cause.type}`))
  await producer.send({ topic, messages: [{ value: 'small' }] })
  assert.deepEqual((await allOf(topic, 1)).map(s => s.value), ['small'])
})

test('a record without a key is refused by a compacted topic', async () => {
  const topic = await topicOf(1, [{ name: 'cleanup.policy', value: 'compact' }])
  const producer = await producerOf({ retry: { retries: 0 } })
  await assert.rejects(producer.send({ topic, messages: [{ value: 'no key' }] }))
  await producer.send({ topic, messages: [{ key: 'k', value: 'v' }] })
})

// Groups.

async function rebalances(options) {
  const topic = await topicOf(4)
  const groupId = unique('group')
  const producer = await producerOf()
  const send = from => producer.send({ topic, messages: numbers(40).map(n => ({ partition: n % 4, value: `${from + n}` })) })
  await send(0)
  const first = await memberOf(groupId, topic, options(1), simply)
  await until('the first sees all', () => first.seen.length === 40)
  assert.deepEqual(sorted(first.assigned), [0, 1, 2, 3])
  const second = await memberOf(groupId, topic, options(2), simply)
  await until('both have a half', () => first.assigned.length === 2 && second.assigned && second.assigned.length === 2)
  assert.deepEqual(sorted([...first.assigned, ...second.assigned]), [0, 1, 2, 3])
  await send(40)
  await until('both see theirs', () => new Set([...values(first), ...values(second)]).size === 80)
  assert.equal(second.seen.every(s => second.assigned.includes(s.partition)), true)
  return { topic, groupId, send, first, second }
}

test('a group of two shares the partitions, and the one that stays takes over', async () => {
  const { topic, groupId, send, first, second } = await rebalances(() => ({}))
  await second.consumer.disconnect()
  await until('the first has all again', () => first.assigned.length === 4)
  await send(80)
  await until('the first sees what the second had', () => new Set([...values(first), ...values(second)]).size === 120)
  await first.consumer.disconnect()
  assert.deepEqual(await offsetsOf(groupId, topic), { 0: '30', 1: '30', 2: '30', 3: '30' })
})

test('members that come and go lose nothing', async () => {
  const topic = await topicOf(6)
  const groupId = unique('group')
  const producer = await producerOf()
  const seen = new Set()
  const watch = () => ({ eachMessage: async ({ message }) => { seen.add(message.value.toString()) } })
  const members = [await memberOf(groupId, topic, {}, watch)]
  let sent = 0
  for (const round of numbers(FULL ? 20 : 4)) {
    if (round % 2 === 0) members.push(await memberOf(groupId, topic, {}, watch))
    else await members.shift().consumer.disconnect()
    await producer.send({ topic, messages: messages(60, n => ({ partition: n % 6, value: `${sent + n}` })) })
    sent += 60
  }
  await until(`all ${sent} are seen`, () => seen.size === sent)
})

test('offsets committed by hand are where the next member starts', async () => {
  const topic = await topicOf()
  const groupId = unique('group')
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(10) })
  const first = await memberOf(groupId, topic, {}, () => ({ autoCommit: false }))
  await until('all are seen', () => first.seen.length === 10)
  await first.consumer.commitOffsets([{ topic, partition: 0, offset: '7', metadata: 'by hand' }])
  await first.consumer.disconnect()
  const [fetched] = await admin.fetchOffsets({ groupId, topics: [topic] })
  assert.deepEqual(fetched.partitions, [{ partition: 0, offset: '7', metadata: 'by hand' }])
  const second = await memberOf(groupId, topic, {}, simply)
  await until('the rest is seen', () => second.seen.length >= 3)
  assert.deepEqual(values(second), ['v7', 'v8', 'v9'])
})

test('a batch consumer resolves offsets one by one', async () => {
  const topic = await topicOf(2)
  const groupId = unique('group')
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(200, n => ({ partition: n % 2, value: `v${n}` })) })
  const seen = []
  let batches = 0
  await memberOf(groupId, topic, {}, () => ({
    eachMessage: undefined,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
      batches += 1
      assert.equal(batch.highWatermark, '100')
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) break
        seen.push(message.value.toString())
        resolveOffset(message.offset)
        await heartbeat()
      }
      await commitOffsetsIfNecessary()
    },
  }))
  await until('all are seen', () => seen.length >= 200)
  assert.equal(seen.length, 200)
  assert.ok(batches >= 2)
  await until('all are committed', async () => {
    const offsets = await offsetsOf(groupId, topic)
    return offsets[0] === '100' && offsets[1] === '100'
  })
})

test('seek, pause and resume', async () => {
  const topic = await topicOf()
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(10) })
  const member = await memberOf(unique('group'), topic, {}, simply)
  await until('all are seen', () => member.seen.length === 10)
  member.consumer.seek({ topic, partition: 0, offset: '5' })
  await until('half of it is seen again', () => member.seen.length === 15)
  assert.deepEqual(values(member).slice(10), numbers(5).map(n => `v${n + 5}`))
  member.consumer.pause([{ topic }])
  await sleep(300)
  await producer.send({ topic, messages: [{ value: 'late' }] })
  await sleep(700)
  assert.equal(member.seen.length, 15)
  member.consumer.resume([{ topic }])
  await until('the late one is seen', () => member.seen.length === 16)
})

test('a regular expression subscribes to the topics that match', async () => {
  const prefix = unique('many')
  const topics = ['a', 'b'].map(end => `${prefix}-${end}`)
  await admin.createTopics({ waitForLeaders: true, topics: topics.map(topic => ({ topic, numPartitions: 1 })) })
  const producer = await producerOf()
  await producer.sendBatch({ topicMessages: topics.map(topic => ({ topic, messages: [{ value: topic }] })) })
  const consumer = kafka.consumer({ groupId: unique('group'), maxWaitTimeInMs: 100 })
  open.push(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic: new RegExp(`^${prefix}-.*`), fromBeginning: true })
  const seen = []
  await consumer.run({ eachMessage: async ({ message }) => { seen.push(message.value.toString()) } })
  await until('both are seen', () => seen.length === 2)
  assert.deepEqual(sorted(seen), topics)
})

test('a member that dies is missed after its session', async () => {
  const topic = await topicOf(2)
  const groupId = unique('group')
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(20, n => ({ partition: n % 2, value: `${n}` })) })
  const first = await memberOf(groupId, topic, { sessionTimeout: 6000 }, simply)
  await until('the first has both', () => first.assigned && first.assigned.length === 2)
  const script = `const { Kafka, logLevel } = require('kafkajs')
    const consumer = new Kafka({ brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING })
      .consumer({ groupId: process.argv[1], sessionTimeout: 6000, heartbeatInterval: 300 })
    consumer.connect().then(() => consumer.subscribe({ topic: process.argv[2] }))
      .then(() => consumer.run({ eachMessage: async () => {} }))`
  const mortal = spawn(process.execPath, ['-e', script, groupId, topic], { stdio: 'inherit' })
  try {
    await until('each has one', () => first.assigned.length === 1)
  } finally {
    mortal.kill('SIGKILL')
  }
  await until('the first has both again', () => first.assigned.length === 2)
  await producer.send({ topic, messages: numbers(2).map(partition => ({ partition, value: `late ${partition}` })) })
  await until('the first sees both', () => new Set(values(first).filter(value => value.startsWith('late'))).size === 2)
})

// Transactions.

test('a committed transaction is seen, an aborted one is not', async () => {
  const topic = await topicOf(2)
  const producer = await producerOf({ transactionalId: unique('transaction'), idempotent: true, maxInFlightRequests: 1 })
  for (const n of numbers(FULL ? 100 : 10)) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: numbers(2).map(partition => ({ partition, value: `${n % 2 ? 'aborted' : 'committed'} ${n}` })) })
    await (n % 2 ? transaction.abort() : transaction.commit())
  }
  const half = FULL ? 50 : 5
  const seen = await allOf(topic, half * 2)
  assert.equal(seen.length, half * 2)
  assert.equal(seen.every(s => s.value.startsWith('committed')), true)
  const all = await allOf(topic, half * 4, { readUncommitted: true })
  assert.equal(all.length, half * 4)
})

test('an open transaction is seen only by those who read uncommitted', async () => {
  const topic = await topicOf()
  const producer = await producerOf({ transactionalId: unique('transaction'), idempotent: true, maxInFlightRequests: 1 })
  const committed = await memberOf(unique('group'), topic, {}, simply)
  const uncommitted = await memberOf(unique('group'), topic, { readUncommitted: true }, simply)
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: 'pending' }] })
  await until('it is seen uncommitted', () => uncommitted.seen.length === 1)
  await sleep(300)
  assert.equal(committed.seen.length, 0)
  await transaction.commit()
  await until('it is seen committed', () => committed.seen.length === 1)
})

test('sendOffsets moves the group with the transaction, and not when it aborts', async () => {
  const [input, output] = [await topicOf(), await topicOf()]
  const groupId = unique('group')
  const plain = await producerOf()
  await plain.send({ topic: input, messages: messages(6) })
  const producer = await producerOf({ transactionalId: unique('transaction'), idempotent: true, maxInFlightRequests: 1 })
  const step = async (offset, end) => {
    const transaction = await producer.transaction()
    await transaction.send({ topic: output, messages: [{ value: `up to ${offset}` }] })
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: input, partitions: [{ partition: 0, offset }] }] })
    await transaction[end]()
  }
  await step('2', 'commit')
  await until('the offset is committed', async () => (await offsetsOf(groupId, input))[0] === '2')
  await step('5', 'abort')
  assert.equal((await offsetsOf(groupId, input))[0], '2')
  const member = await memberOf(groupId, input, {}, simply)
  await until('the rest is seen', () => member.seen.length >= 4)
  assert.deepEqual(values(member), ['v2', 'v3', 'v4', 'v5'])
  assert.deepEqual((await allOf(output, 1)).map(s => s.value), ['up to 2'])
})

test('records read, changed and written in transactions arrive exactly once', async () => {
  const [input, output] = [await topicOf(2), await topicOf(2)]
  const groupId = unique('group')
  const count = FULL ? 2000 : 100
  const plain = await producerOf()
  await plain.send({ topic: input, messages: messages(count, n => ({ partition: n % 2, value: `${n}` })) })
  const producer = await producerOf({ transactionalId: unique('transaction'), idempotent: true, maxInFlightRequests: 1 })
  let batches = 0
  await memberOf(groupId, input, { maxBytesPerPartition: 512 }, () => ({
    autoCommit: false,
    eachMessage: undefined,
    eachBatch: async ({ batch, resolveOffset }) => {
      const transaction = await producer.transaction()
      await transaction.send({ topic: output, messages: batch.messages.map(m => ({ partition: batch.partition, value: m.value })) })
      const offset = (BigInt(batch.lastOffset()) + 1n).toString()
      await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: input, partitions: [{ partition: batch.partition, offset }] }] })
      batches += 1
      if (batches === 1) {
        await transaction.abort()
        throw new Error('once more')
      }
      await transaction.commit()
      resolveOffset(batch.lastOffset())
    },
  }))
  const seen = await allOf(output, count)
  assert.deepEqual(sorted(seen.map(s => Number(s.value))), numbers(count))
})

test('a second producer of a transactional id fences the first', async () => {
  const topic = await topicOf()
  const options = { transactionalId: unique('transaction'), idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } }
  const first = await producerOf(options)
  const transaction = await first.transaction()
  await transaction.send({ topic, messages: [{ value: 'of the first' }] })
  const second = await producerOf({ ...options, retry: { retries: 5 } })
  const next = await second.transaction()
  await next.send({ topic, messages: [{ value: 'of the second' }] })
  await next.commit()
  await assert.rejects(transaction.commit())
  assert.deepEqual((await allOf(topic, 1)).map(s => s.value), ['of the second'])
})

// Administration.

test('topics are created, listed, described, refused twice and deleted', async () => {
  const topic = unique('topic')
  const topics = [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }]
  assert.equal(await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics }), true)
  assert.equal((await admin.listTopics()).includes(topic), false)
  assert.equal(await admin.createTopics({ topics }), true)
  assert.equal(await admin.createTopics({ topics }), false)
  assert.equal((await admin.listTopics()).includes(topic), true)
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(described.name, topic)
  assert.deepEqual(sorted(described.partitions.map(p => p.partitionId)), [0, 1, 2])
  for (const p of described.partitions) assert.deepEqual([p.partitionErrorCode, p.replicas, p.isr], [0, [p.leader], [p.leader]])
  await admin.deleteTopics({ topics: [topic] })
  assert.equal((await admin.listTopics()).includes(topic), false)
  const hasty = kafka.admin({ retry: { retries: 0 } })
  open.push(hasty)
  await hasty.connect()
  await assert.rejects(hasty.deleteTopics({ topics: [unique('none')] }),
    error => [error.type, error.cause && error.cause.type].includes('UNKNOWN_TOPIC_OR_PARTITION'))
})

test('bad topics are refused with their reasons', async () => {
  const refused = async (topic, type) => {
    const error = await admin.createTopics({ topics: [topic] }).then(() => assert.fail('created'), e => e)
    const types = (error.errors || [error]).map(e => e.type)
    assert.deepEqual(types, [type])
  }
  await refused({ topic: 'not/good' }, 'INVALID_TOPIC_EXCEPTION')
  await refused({ topic: unique('t'), numPartitions: 0 }, 'INVALID_PARTITIONS')
  await refused({ topic: unique('t'), replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR')
  await refused({ topic: unique('t'), configEntries: [{ name: 'no.such.thing', value: '1' }] }, 'INVALID_CONFIG')
})

test('partitions are added', async () => {
  const topic = await topicOf(1)
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(described.partitions.length, 3)
  const producer = await producerOf()
  await producer.send({ topic, messages: numbers(3).map(partition => ({ partition, value: `${partition}` })) })
  assert.equal((await allOf(topic, 3)).length, 3)
  await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
})

const configOf = async (topic, configNames) => {
  const { resources: [resource] } = await admin.describeConfigs({ includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames }] })
  assert.equal(resource.errorCode, 0)
  return Object.fromEntries(resource.configEntries.map(entry => [entry.configName, entry]))
}

test('the settings of a topic are described', async () => {
  const topic = await topicOf(1, [{ name: 'retention.ms', value: '3600000' }])
  const all = await configOf(topic)
  assert.equal(all['retention.ms'].configValue, '3600000')
  assert.equal(all['retention.ms'].isDefault, false)
  assert.equal(all['cleanup.policy'].configValue, 'delete')
  assert.equal(all['cleanup.policy'].isDefault, true)
  assert.deepEqual(Object.keys(await configOf(topic, ['retention.ms'])), ['retention.ms'])
})

test('the settings of the broker are described', async () => {
  const { brokers: [{ nodeId }] } = await admin.describeCluster()
  const { resources: [resource] } = await admin.describeConfigs({ includeSynonyms: true,
    resources: [{ type: ConfigResourceTypes.BROKER, name: `${nodeId}` }] })
  assert.equal(resource.errorCode, 0)
  assert.ok(resource.configEntries.some(entry => entry.configName === 'num.partitions'))
})

test('alterConfigs sets, validates only, refuses and sets back', async () => {
  const topic = await topicOf(1, [{ name: 'retention.ms', value: '3600000' }])
  const alter = (configEntries, validateOnly = false) =>
    admin.alterConfigs({ validateOnly, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
  await alter([{ name: 'max.message.bytes', value: '2000' }], true)
  assert.equal((await configOf(topic))['retention.ms'].configValue, '3600000')
  await alter([{ name: 'max.message.bytes', value: '2000' }])
  const now = await until('it is set', async () => {
    const config = await configOf(topic)
    return config['max.message.bytes'].configValue === '2000' && config
  })
  // What is not named goes back to its default.
  assert.equal(now['retention.ms'].isDefault, true)
  await assert.rejects(alter([{ name: 'retention.ms', value: 'soon' }]), error => error.type === 'INVALID_CONFIG')
  const producer = await producerOf({ retry: { retries: 0 } })
  await assert.rejects(producer.send({ topic, messages: [{ value: 'x'.repeat(3000) }] }))
})

test('fetchTopicOffsets, and by timestamp', async () => {
  const topic = await topicOf(2)
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(10, n => ({ partition: 0, value: `${n}`, timestamp: `${1_700_000_000_000 + n * 1000}` })) })
  const offsets = sorted((await admin.fetchTopicOffsets(topic)).map(o => `${o.partition}:${o.low}-${o.high}`))
  assert.deepEqual(offsets, ['0:0-10', '1:0-0'])
  const by = async time => Object.fromEntries((await admin.fetchTopicOffsetsByTimestamp(topic, time)).map(o => [o.partition, o.offset]))
  assert.equal((await by(1_700_000_004_500))[0], '5')
  assert.equal((await by(1_700_000_000_000))[0], '0')
  assert.equal((await by(1_800_000_000_000))[0], '10')
})

test('setOffsets, resetOffsets and fetchOffsets of an empty group', async () => {
  const topic = await topicOf(2)
  const groupId = unique('group')
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(20, n => ({ partition: n % 2, value: `${n}` })) })
  assert.deepEqual(await offsetsOf(groupId, topic), { 0: '-1', 1: '-1' })
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '3' }, { partition: 1, offset: '4' }] })
  assert.deepEqual(await offsetsOf(groupId, topic), { 0: '3', 1: '4' })
  await admin.resetOffsets({ groupId, topic, earliest: true })
  assert.deepEqual(await offsetsOf(groupId, topic, { resolveOffsets: true }), { 0: '0', 1: '0' })
  await admin.resetOffsets({ groupId, topic, earliest: false })
  assert.deepEqual(await offsetsOf(groupId, topic, { resolveOffsets: true }), { 0: '10', 1: '10' })
  const named = await admin.fetchOffsets({ groupId })
  assert.deepEqual(named.map(t => t.topic), [topic])
})

test('setOffsets of a group with members is refused', async () => {
  const topic = await topicOf()
  const groupId = unique('group')
  await memberOf(groupId, topic, {}, simply)
  await assert.rejects(admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '0' }] }))
})

test('deleteTopicRecords moves the start', async () => {
  const topic = await topicOf(2)
  const producer = await producerOf()
  await producer.send({ topic, messages: messages(20, n => ({ partition: n % 2, value: `v${n}` })) })
  // kafkajs finds the leaders only of topics that it has asked about.
  await admin.fetchTopicOffsets(topic)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }, { partition: 1, offset: '-1' }] })
  const offsets = sorted((await admin.fetchTopicOffsets(topic)).map(o => `${o.partition}:${o.low}-${o.high}`))
  assert.deepEqual(offsets, ['0:4-10', '1:10-10'])
  assert.deepEqual((await allOf(topic, 6)).map(s => s.value), numbers(6).map(n => `v${n * 2 + 8}`))
  await assert.rejects(admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '11' }] }))
})

test('groups are listed, described and deleted', async () => {
  const topic = await topicOf(2)
  const groupId = unique('group')
  const member = await memberOf(groupId, topic, {}, simply)
  await until('it has joined', () => member.assigned)
  const stable = await until('it is stable', async () => {
    const { groups: [group] } = await admin.describeGroups([groupId])
    return group.state === 'Stable' && group
  })
  assert.deepEqual([stable.errorCode, stable.groupId, stable.protocolType, stable.members.length], [0, groupId, 'consumer', 1])
  assert.equal(stable.members[0].memberId, member.memberId)
  assert.equal(stable.members[0].clientId, 'peer')
  assert.deepEqual((await admin.listGroups()).groups.filter(g => g.groupId === groupId), [{ groupId, protocolType: 'consumer' }])
  const refused = await admin.deleteGroups([groupId]).then(() => assert.fail('deleted'), e => e)
  assert.deepEqual(refused.groups.map(g => g.error.type), ['NON_EMPTY_GROUP'])
  await member.consumer.disconnect()
  assert.equal((await admin.deleteGroups([groupId]))[0].errorCode, 0)
  assert.equal((await admin.listGroups()).groups.some(g => g.groupId === groupId), false)
  const { groups: [gone] } = await admin.describeGroups([groupId])
  assert.equal(gone.state, 'Dead')
})

test('describeCluster', async () => {
  const { brokers, controller, clusterId } = await admin.describeCluster()
  assert.equal(brokers.length, 1)
  assert.equal(controller, brokers[0].nodeId)
  assert.ok(clusterId)
})

async function within(limit, promise) {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done after ${limit} ms`)), limit) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

async function main() {
  const leftOut = fs.readFileSync(path.join(__dirname, 'left-out.txt'), 'utf8').split('\n').filter(line => line && !line.startsWith('#'))
  let [passed, failed] = [0, 0]
  await admin.connect()
  for (const { name, body } of tests) {
    const start = Date.now()
    open = []
    try {
      await within(FULL ? 5 * TEST_LIMIT : TEST_LIMIT, body())
      passed += 1
      console.log(`ok     ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
    } catch (error) {
      failed += 1
      console.log(`FAILED ${name}\n${error.stack}`)
    }
    await Promise.allSettled(open.map(client => within(10_000, client.disconnect())))
  }
  await admin.disconnect()
  for (const line of leftOut) console.log(`left out ${line.replace(/\s+/, ': ')}`)
  console.log(`${passed} passed, ${failed} failed, ${leftOut.length} left out`)
  process.exit(failed ? 1 : 0)
}

main().catch(error => {
  console.log(`FAILED ${error.stack}`)
  process.exit(1)
})
